"""Retention on a store of 100,000 messages: no statement walks along the messages or streams."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

import pgstore
from tests.plans.cases import fill
from tests.plans.plans import Explained

TOTAL = 100_000

CALLS = {
    "by age": "SELECT set_retention('rare', max_age => '0'), apply_retention(10)",
    "by count": "SELECT set_retention('medium', max_count => 900), apply_retention(10)",
    "nothing to do": "SELECT set_retention('big', max_age => '1 year'), apply_retention(10)",
    "policies": "SELECT set_retention('big', max_age => '1 year'), list_retention()",
    "redact": "SELECT redact_message(md5('77')::uuid, '1', 'reason', '{}')",
    "truncate": "SELECT truncate_stream('big-1', stream_version('big-1') - 9000)",
}


@pytest.fixture(scope="module")
def store(server_conninfo: str) -> Iterator[str]:
    name = f"store_{uuid4().hex[:12]}"
    pgstore.install(server_conninfo, store=name)
    with psycopg.connect(
        server_conninfo, autocommit=True, options=f"-c search_path={name}"
    ) as conn:
        fill(conn, TOTAL)
        conn.execute("ANALYZE streams, messages")
        conn.execute("SELECT create_subscription('s', categories => ARRAY['other'])")
        yield name
        conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


@pytest.mark.parametrize("mode", ["auto", "force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("call", CALLS)
def test_retention_finds_messages_by_index(
    server_conninfo: str, store: str, mode: str, call: str
) -> None:
    with Explained(server_conninfo, store, mode) as session:
        for _ in range(7):
            assert session.run(CALLS[call]) is None
        assert session.plans != []
        for plan in session.plans:
            walked = [node.get("Relation Name") for node in plan.walks]
            assert not {"messages", "streams", "audit"} & {*walked}, str(plan)
            assert not plan.compiled, str(plan)
            assert plan.rows <= 5000, str(plan)
            assert plan.blocks <= 6000, str(plan)
