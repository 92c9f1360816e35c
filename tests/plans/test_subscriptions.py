"""Looking for work: what it touches does not grow with the partitions, nor with the store."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import TupleRow

import pgstore
from tests.plans.filling import fill, seed
from tests.plans.plans import Explained

TOTAL = 100_000

# Handle everything, which one look finds.
_WORK = """
DO $$
DECLARE
  claimed record;
BEGIN
  LOOP
    SELECT c.* INTO claimed FROM claim_partition('{{{name}}}', 'w') AS c;
    EXIT WHEN claimed.token IS NULL;
    PERFORM acknowledge('{name}', claimed.partition, claimed.token, safe_position());
    PERFORM release_partition('{name}', claimed.partition, claimed.token);
  END LOOP;
END
$$
"""


@pytest.fixture(scope="module")
def store(server_conninfo: str) -> Iterator[str]:
    name = f"store_{uuid4().hex[:12]}"
    pgstore.install(server_conninfo, store=name)
    with psycopg.connect(
        server_conninfo, autocommit=True, options=f"-c search_path={name}"
    ) as conn:
        fill(conn, TOTAL)
        conn.execute("ANALYZE streams, messages")
        yield name
        conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


@pytest.fixture
def session(server_conninfo: str, store: str) -> Iterator[Explained]:
    with Explained(server_conninfo, store, "auto") as session:
        yield session


def subscribe(
    session: Explained, partitions: int = 1, category: str | None = None, start: int | None = None
) -> str:
    """Create a subscription that starts there, by default at the end; its name."""
    name = f"reader-{uuid4().hex[:12]}"
    session.conn.execute(
        "SELECT create_subscription(%s, %s, partitions => %s, start_position => %s)",
        (name, category and [category], partitions, start),
    )
    return name


def claim(session: Explained, name: str) -> tuple[TupleRow | None, float]:
    """Claim a partition; the answer, and how many rows all statements have looked at."""
    session.plans.clear()
    row = session.conn.execute("SELECT * FROM claim_partition(%s, 'w')", ([name],)).fetchone()
    return row, sum(plan.rows for plan in session.plans)


def rounds(session: Explained, partitions: int) -> list[float]:
    """Rows looked at to find one message, again and again, after every partition had some."""
    name = subscribe(session, partitions, category := f"c{uuid4().hex[:12]}")
    with psycopg.connect(session.conn.info.dsn, autocommit=True) as conn:
        conn.execute(f"SET search_path TO {session.store}".encode())
        write(conn, category, 3 * partitions)
        conn.execute(_WORK.format(name=name).encode())
        assert handled(conn, name) == partitions

    found = []
    for n in range(8):
        write(session.conn, category, 1)
        row, rows = claim(session, name)
        assert row is not None
        finish(session, row)
        assert claim(session, name)[0] is None
        if n:  # the first one also forgets what has been dealt with
            found.append(rows)
    return found


def write(conn: psycopg.Connection[TupleRow], category: str, streams: int) -> None:
    conn.execute(
        f"SELECT write_message('{category}-' || g.n, 'T', '1')"
        f" FROM generate_series(1, {streams}) AS g (n)".encode()
    )


def handled(conn: psycopg.Connection[TupleRow], name: str) -> int:
    """How many partitions have nothing that waits."""
    return conn.execute(
        "SELECT FROM list_partitions() AS p WHERE p.subscription = %s AND p.state = 'idle'", (name,)
    ).rowcount


def finish(session: Explained, row: TupleRow) -> None:
    name, partition, token, _ = row
    batch = session.conn.execute(
        "SELECT checkpoint FROM fetch_batch(%s, %s, %s, 1000)", (name, partition, token)
    ).fetchall()
    session.conn.execute(
        "SELECT acknowledge(%s, %s, %s, %s)", (name, partition, token, batch[-1][0])
    )
    session.conn.execute("SELECT release_partition(%s, %s, %s)", (name, partition, token))


def walked(session: Explained) -> list[str]:
    """The plans that walk along a table that grows with the store."""
    growing = {"messages", "streams", "message_tags"}
    return [
        str(plan)
        for plan in session.plans
        if growing & {node.get("Relation Name") for node in plan.walks if node["Actual Loops"]}
    ]


def test_claim_costs_the_same_with_more_partitions(session: Explained) -> None:
    few, many = rounds(session, 10), rounds(session, 1000)
    assert max(many) <= max(few) + 2
    assert max(many) < 30


def test_next_claim_looks_at_partitions_where_messages_wait(session: Explained) -> None:
    found = {}
    for partitions in (10, 1000):
        name = subscribe(session, partitions, category := f"c{uuid4().hex[:12]}")
        write(session.conn, category, 1)
        row, _ = claim(session, name)
        assert row is not None
        session.plans.clear()
        query = "SELECT next_claim(%s) > '0' FROM generate_series(1, 7)"
        waits = session.conn.execute(query, ([name],)).fetchall()
        assert waits == [(True,)] * 7
        found[partitions] = max(plan.rows for plan in session.plans)
    assert found[1000] <= found[10] < 10


def test_claim_in_a_rare_category_looks_at_that_category(session: Explained) -> None:
    name = subscribe(session, 4, "rare", start=TOTAL - 10_000)
    row, rows = claim(session, name)
    assert row is not None
    assert rows < 100
    session.plans.clear()
    finish(session, row)
    assert sum(plan.rows for plan in session.plans) < 100
    assert walked(session) == []


@pytest.mark.parametrize(("partitions", "most"), [(1, 11_000), (2, 41_000), (8, 170_000)])
def test_claim_looks_at_no_more_than_a_window(
    session: Explained, partitions: int, most: int
) -> None:
    row, rows = claim(session, subscribe(session, partitions, start=0))
    assert row is not None
    assert rows < most


@pytest.mark.parametrize("partitions", [1, 8])
@pytest.mark.parametrize("start", [0, TOTAL // 2, TOTAL - 1000])
def test_fetch_looks_at_its_batch(session: Explained, start: int, partitions: int) -> None:
    row, _ = claim(session, subscribe(session, partitions, start=start))
    assert row is not None
    session.plans.clear()
    session.conn.execute("SELECT FROM fetch_batch(%s, %s, %s, 100)", row[:3])
    assert sum(plan.rows for plan in session.plans) < 230


@pytest.mark.parametrize("partitions", [1, 4])
@pytest.mark.parametrize("tags", [["rare"], ["often", "rare"]], ids=str)
def test_a_subscription_to_a_rare_tag_looks_at_its_messages(
    session: Explained, tags: list[str], partitions: int
) -> None:
    name = f"reader-{uuid4().hex[:12]}"
    session.conn.execute(
        "SELECT create_subscription(%s, partitions => %s, tags => %s)", (name, partitions, tags)
    )
    row, rows = claim(session, name)
    assert row is not None
    # Of a hundred messages with the tag; to choose the rarest of two, a hundred rows of each.
    assert rows < 1200
    session.plans.clear()
    session.conn.execute("SELECT FROM fetch_batch(%s, %s, %s, 100)", row[:3])
    assert sum(plan.rows for plan in session.plans) < 600
    assert walked(session) == []


@pytest.mark.parametrize("tags", [["rare"], ["often", "rare"]], ids=str)
@pytest.mark.parametrize("partitions", [1, 4])
@pytest.mark.parametrize("messages", [1, 60], ids="{} messages".format)
def test_a_worker_with_plans_of_a_tiny_store_looks_up_the_messages_of_its_tags(
    server_conninfo: str, messages: int, partitions: int, tags: list[str]
) -> None:
    name = f"store_{uuid4().hex[:12]}"
    pgstore.install(server_conninfo, store=name)
    with Explained(server_conninfo, name, "auto") as session:
        for table in ("streams", "messages", "message_tags"):
            session.conn.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)".encode())
        seed(session.conn, messages)
        session.conn.execute("SELECT write_message('a-1', 'T', '1')")
        for _ in range(6):  # five plans for the values, then one for all
            session.conn.execute("SELECT write_message('a-1', 'T', '1', tags => %s)", (tags,))
            work_by_tag(session, partitions, tags)
        # Not TRUNCATE, after which all is planned anew.
        for table in ("message_tags", "messages", "streams"):
            session.conn.execute(f"DELETE FROM {table}".encode())
        fill(session.conn, 40_000)
        session.plans.clear()
        work_by_tag(session, partitions, tags)
        assert session.plans != []
        assert walked(session) == []
        session.conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


def work_by_tag(session: Explained, partitions: int, tags: list[str]) -> None:
    """Claim, fetch and fail, and claim with a batch, as two new subscriptions."""
    for name in ("one", "other"):
        session.conn.execute(
            "SELECT create_subscription(%s, partitions => %s, tags => %s)", (name, partitions, tags)
        )
    lease = session.conn.execute("SELECT * FROM claim_partition('{one}', 'w')").fetchone()
    assert lease is not None
    batch = session.conn.execute("SELECT FROM fetch_batch(%s, %s, %s, 100)", lease[:3])
    assert batch.rowcount > 0
    # As if that message had lost its tag.
    failed = session.conn.execute("SELECT fail_message(%s, %s, %s, 1, 'E')", lease[:3])
    assert failed.fetchone() == ("retry",)
    batch = session.conn.execute("SELECT FROM claim_batch('{other}', 'w', '1 minute', 100)")
    assert batch.rowcount > 0
    for name in ("one", "other"):
        session.conn.execute("SELECT drop_subscription(%s)", (name,))
