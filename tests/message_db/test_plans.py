"""In a store of 100,000 messages each call finds its rows by an index."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.message_db.conftest import STORE
from tests.plans.filling import fill
from tests.plans.plans import Explained

TOTAL = 100_000


@pytest.fixture(scope="module")
def filled(served: str) -> str:
    with psycopg.connect(served, autocommit=True, options=f"-c search_path={STORE}") as conn:
        fill(conn, TOTAL)
        conn.execute("ANALYZE streams, messages")
    return served


@pytest.fixture(scope="module", params=["auto", "force_generic_plan", "force_custom_plan"])
def session(filled: str, request: pytest.FixtureRequest) -> Iterator[Explained]:
    with Explained(filled, "message_store", request.param) as session:
        session.run("SET message_store.sql_condition = on")
        yield session


# A call, and how many rows and blocks each of its statements may touch. `medium` has 1,000
# messages in one stream, `small` 79,000 in streams of 10.
CALLS = {
    "stream": ("get_stream_messages('big-1', 5000, 10)", 30, 100),
    "stream with a condition": ("get_stream_messages('big-1', 5000, 10, 'true')", 1100, 1500),
    "last of a stream": ("get_last_stream_message('big-1')", 4, 50),
    "category": ("get_category_messages('small', 50000, 10)", 30, 100),
    "small category": ("get_category_messages('medium', 50000, 10)", 30, 100),
    "whole category": ("get_category_messages('medium', 1, -1)", 2100, 4500),
    "no category": ("get_category_messages('none', 1, 10)", 2, 50),
    "beyond the end": ("get_category_messages('small', 100000000, 10)", 2, 50),
    # Of four members each gets a quarter: some 40 messages are looked at to find 10.
    "member of a group": ("get_category_messages('small', 50000, 10, NULL, 1, 4)", 300, 600),
    "only member": ("get_category_messages('small', 50000, 10, NULL, 0, 1)", 30, 100),
    "correlated, none": ("get_category_messages('medium', 50000, 10, 'none')", 1100, 2500),
    "condition": ("get_category_messages('small', 50000, 10, condition => 'true')", 30, 100),
    "condition of one in three": (
        "get_category_messages('small', 50000, 10, condition => 'type = ''T1''')", 100, 250
    ),
    "member with a condition": (
        "get_category_messages('small', 50000, 10, NULL, 1, 4, 'true')", 300, 600
    ),
    "write": (
        "write_message(md5(random()::text)::uuid::varchar, 'big-1', 'A', '{}')", 4, 150
    ),
    "write, expected version": (
        "write_message(gen_random_uuid()::varchar, 'new-' || random(), 'A', '{}', NULL, -1)",
        4,
        200,
    ),
    "table, one stream": ("messages AS m WHERE m.stream_name = 'small-5'", 30, 100),
    "table, in order": (
        "messages AS m WHERE m.global_position > 50000 ORDER BY m.global_position LIMIT 10", 30, 150
    ),
    "version": ("stream_version('big-1')", 4, 50),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS.keys())
def test_call_finds_its_rows_by_an_index(session: Explained, name: str) -> None:
    call, rows, blocks = CALLS[name]
    for _ in range(8):
        assert session.run(f"SELECT * FROM {call}") is None
    plans = [plan for plan in session.plans if "pg_proc" not in plan.query]
    assert plans
    wrong = [
        plan for plan in plans
        if plan.walks or plan.compiled or plan.rows > rows or plan.blocks > blocks
    ]  # fmt: skip
    assert not wrong, "\n".join(map(str, wrong))
