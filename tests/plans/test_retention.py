"""Retention on a store of 100,000 messages: no statement walks along the messages or streams."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

import pgstore
from tests.plans.filling import fill
from tests.plans.plans import Explained

TOTAL = 100_000

# Three tags to each message but those of the stream big-1: one that all have, one that ten have,
# and one of its own.
_TAG = """
UPDATE messages AS m
SET tags = ARRAY['all', 'group:' || m.global_position / 10, 'one:' || m.global_position]
WHERE m.global_position % 10 <> 0;
INSERT INTO message_tags (tag_key, global_position)
SELECT _tag_key(t.tag), m.global_position FROM messages AS m CROSS JOIN unnest(m.tags) AS t (tag)
"""

CALLS = {
    "by age": "SELECT set_retention('rare', max_age => '0'), apply_retention(10)",
    "by count": "SELECT set_retention('medium', max_count => 900), apply_retention(10)",
    "nothing to do": "SELECT set_retention('big', max_age => '1 year'), apply_retention(10)",
    "policies": "SELECT set_retention('big', max_age => '1 year'), list_retention()",
    "redact": "SELECT redact_message(md5('99990')::uuid, '1', 'reason', '{}')",
    "by age, tagged": "SELECT set_retention('small', max_age => '0'), apply_retention(500)",
    "redact tags": """
      SELECT redact_message(m.message_id, '1', 'reason', remove_tags => m.tags[1:1])
      FROM get_message((
        SELECT r.message_id FROM read_category('medium', 90000) AS r
        WHERE r.tags IS NOT NULL LIMIT 1
      )) AS m
    """,
    "truncate, tagged": "SELECT truncate_stream('medium-2', stream_version('medium-2') - 900)",
    "truncate": "SELECT truncate_stream('big-1', stream_version('big-1') - 9000)",
}


@pytest.fixture(scope="module", params=["all tags", "two tags"])
def store(server_conninfo: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A store of whose tags the planner knows all, or those of before most came."""
    name = f"store_{uuid4().hex[:12]}"
    pgstore.install(server_conninfo, store=name)
    with psycopg.connect(
        server_conninfo, autocommit=True, options=f"-c search_path={name}"
    ) as conn:
        fill(conn, TOTAL)
        conn.execute("ALTER TABLE message_tags SET (autovacuum_enabled = off)")
        conn.execute("ANALYZE message_tags")
        conn.execute(_TAG)
        if request.param == "all tags":
            conn.execute("ANALYZE message_tags")
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
        # Five plans for the values, then one for all, unless the mode says which.
        for _ in range(7 if mode == "auto" else 2):
            assert session.run(CALLS[call]) is None
        assert session.plans != []
        for plan in session.plans:
            walked = [node.get("Relation Name") for node in plan.walks]
            assert not {"messages", "message_tags", "streams", "audit"} & {*walked}, str(plan)
            assert not plan.compiled, str(plan)
            assert plan.rows <= 5000, str(plan)
            assert plan.blocks <= 10000, str(plan)
