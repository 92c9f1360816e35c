"""No call of a reader, writer or worker is compiled by JIT, whatever is in the store.

To compile a statement takes some hundred milliseconds. PostgreSQL does it, anew for each execution,
if the planner's estimate of the cost is high enough.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import TupleRow

import pgstore
from tests.plans.filling import seed
from tests.plans.plans import JIT_ABOVE_COST, Explained, Plan

# More than this may cost no statement of a caller that calls one function.
CALL_COSTS_AT_MOST = 1000


class Layout(NamedTuple):
    """So many streams, of so many messages each, written one at a time or so many in a row."""

    streams: int
    messages: int
    in_a_row: int


LAYOUTS = {
    "clustered": Layout(100, 300, 300),
    "interleaved": Layout(100, 300, 10),
    "scattered": Layout(3000, 10, 1),
    "one stream": Layout(1, 5000, 1),
    "huge": Layout(100, 300, 10),
}

_FILL = """
INSERT INTO streams (stream_id, category_key, stream, category)
SELECT s.n, _category_key('account'), 'account-' || s.n, 'account'
FROM generate_series(1, {streams}) AS s (n);

INSERT INTO messages (
  global_position, stream_id, version, category_key, added_at, message_id, type, data
)
SELECT
  m.n + 1, m.n / {in_a_row} % {streams} + 1,
  m.n / ({in_a_row} * {streams}) * {in_a_row} + m.n % {in_a_row} + 1,
  _category_key('account'), now(), md5(m.n::text)::uuid, 'T',
  jsonb_build_object('text', repeat('x', 1000))
FROM generate_series(0, {streams} * {messages} - 1) AS m (n);

SELECT setval('stream_id_seq', {streams}), setval('global_position_seq', {streams} * {messages});
"""

# Five per cent more, since the planner was told what is there.
_MORE = """
SELECT write_message(
  'account-' || m.n % {streams} + 1, 'T', jsonb_build_object('text', repeat('x', 1000))
)
FROM generate_series(1, {streams} * {messages} / 20) AS m (n)
"""

# The planner multiplies the blocks that there are by the rows of a block.
_PRETEND = """
UPDATE pg_class AS c
SET reltuples = 1e10
FROM pg_index AS i
WHERE i.indrelid IN ('messages'::regclass, 'streams'::regclass)
  AND c.oid IN (i.indrelid, i.indexrelid)
"""


@pytest.fixture(scope="module", params=["empty", "tiny", *LAYOUTS])
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def store(server_conninfo: str, layout: str) -> Iterator[str]:
    name = f"store_{uuid4().hex[:12]}"
    pgstore.install(server_conninfo, store=name)
    with psycopg.connect(
        server_conninfo, autocommit=True, options=f"-c search_path={name}"
    ) as conn:
        for table in ("streams", "messages"):
            conn.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        fill(conn, layout)
        yield name
        conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


def fill(conn: psycopg.Connection[TupleRow], layout: str) -> None:
    if layout == "tiny":
        seed(conn, 1)
    elif layout in LAYOUTS:
        sizes = LAYOUTS[layout]._asdict()
        conn.execute(_FILL.format(**sizes).encode())
        conn.execute("VACUUM ANALYZE streams, messages")
        if layout == "huge":
            conn.execute(_PRETEND)
        conn.execute(_MORE.format(**sizes).encode())


_QUERY = '[{"tags": ["seat"]}, {"tags": ["course", "student"], "types": ["T"]}]'


class Calls:
    """Calls, and the plans of all statements in them."""

    def __init__(self, session: Explained) -> None:
        self.names: set[str] = set()
        self.outer: list[Plan] = []
        self.inner: list[Plan] = []
        self._session = session

    def transaction(self) -> AbstractContextManager[object]:
        return self._session.conn.transaction()

    def __call__(self, call: str, of: str = "*") -> list[TupleRow]:
        """Call a function; its answer."""
        statement = f"SELECT {of} FROM {call}"
        rows = self._session.rows(statement)
        self.names.add(call.partition("(")[0])
        outer: list[Plan] = []
        inner: list[Plan] = []
        for plan in self._session.plans:
            (outer if plan.query == statement else inner).append(plan)
        assert len(outer) == 1, self._session.plans
        self.outer += outer
        self.inner += inner
        return rows


@pytest.fixture(scope="module")
def calls(server_conninfo: str, store: str) -> Iterator[Calls]:
    """Everything that a reader, a writer or a worker may call."""
    with Explained(server_conninfo, store, "auto") as session:
        calls = Calls(session)
        for _ in range(2):  # the second time with what the first one has planned and written
            write(calls)
            write_tagged(calls)
            calls("save_snapshot('account-1', 's', 1, stream_version('account-1'), '1', 0)")
            schedule(calls)
            read(calls)
            sleep(calls)
            for partitions in (1, 8):
                consume(calls, partitions)
                consume_tagged(calls, partitions)
        with session.conn.transaction(force_rollback=True):
            # Now each write looks up whether its role may.
            session.conn.execute("CREATE ROLE plans_writer")
            session.conn.execute("SELECT grant_access('plans_writer', 'write', '{other}')")
            write(calls)
        with session.conn.transaction():
            session.conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            write(calls)
        yield calls


def write(calls: Calls) -> None:
    some_id = uuid4()
    for stream in ("account-1", f"account-{uuid4()}"):
        calls(f"write_message('{stream}', 'T', '1')")
        for _ in range(2):
            calls(f"write_message('{stream}', 'T', '1', message_id => '{uuid4()}')")
        calls(
            f"write_message('{stream}', 'T', '1', expected_version => stream_version('{stream}'))"
        )
        calls(f"write_arrays('{stream}', '{{T,T}}', ARRAY['1', '2']::jsonb[])")
        streams = f"ARRAY['{stream}', 'new-{uuid4()}', '{stream}']"
        for _ in range(2):
            calls(
                f"write_group({streams}, '{{T,T,T}}', ARRAY['1', '2', '3']::jsonb[], NULL, NULL,"
                f" ARRAY['{uuid4()}', '{uuid4()}', '{uuid4()}']::uuid[])"
            )
        calls(f"""write_messages('{stream}', '[{{"type": "T", "data": 1}}]')""")
    ids = f"ARRAY['{some_id}', '{uuid4()}']::uuid[]"
    for _ in range(2):
        calls(
            f"synchronize_stream('copy-{some_id}', '{{}}', '{{T,T}}', ARRAY['1', '2']::jsonb[],"
            f" message_ids => {ids})"
        )
        calls(
            f"write_arrays('copy-{some_id}', '{{T,T}}', ARRAY['1', '2']::jsonb[], NULL, 0, {ids})"
        )


def write_tagged(calls: Calls) -> None:
    """Not under REPEATABLE READ, which refuses a condition."""
    ((*_, token),) = calls(f"read_tagged('{_QUERY}')")[-1:]
    message = '{"type": "T", "data": 1, "tags": ["a", "b"]}'
    for stream in ("account-1", f"account-{uuid4()}"):
        unless = f"condition => '{_QUERY}', decided_upon => '{token}'"
        calls(f"write_message('{stream}', 'T', '1', tags => '{{a,b}}')")
        calls(f"write_message('{stream}', 'T', '1', tags => '{{a}}', {unless})")
        calls(f"write_arrays('{stream}', '{{T,T}}', ARRAY['1', '2']::jsonb[], {unless})")
        calls(f"write_messages('{stream}', '[{message}, {message}]')")
        calls(f"write_if('{stream}', '[{message}]', {unless})")
        calls(f"write_if('{stream}', '[{message}, {message}]', {unless})")
    calls("write_message('account-1', 'T', '1', tags => '{seat}')")
    calls(f"read_tagged('{_QUERY}')")
    calls(f"read_tagged_json('{_QUERY}')")
    calls("read_matching(tags_filter => '{a,b}', max_looked => 10)")


def schedule(calls: Calls) -> None:
    message_id = uuid4()
    due_at = "clock_timestamp() + '1 day'"
    calls(f"schedule_message('account-1', 'T', '1', {due_at}, message_id => '{message_id}')")
    calls("list_scheduled('account-1')")
    calls(f"cancel_message('{message_id}')")
    calls("schedule_message('account-1', 'T', '1', clock_timestamp(), tags => '{a,b}')")
    calls("deliver_scheduled()")


def read(calls: Calls) -> None:
    calls("read_stream('account-1')")
    calls("read_stream('account-1', backward => true, max_count => 10)")
    calls("load_stream('account-1', 's', 1)")
    calls("load_stream('account-1', to_time => 'now')")
    calls(
        "load_stream('account-1', known_message_id => md5('7')::uuid, known_changes => 0,"
        " max_count => 10)"
    )
    calls("last_message('account-1')")
    calls("last_message('account-1', 'none')")
    calls("stream_version('account-1')")
    calls("get_message(md5('7')::uuid)")
    calls("get_messages(ARRAY(SELECT md5(n::text)::uuid FROM generate_series(1, 1000) AS s (n)))")
    calls("read_all()")
    calls("read_all(0, 10, types => '{none}')")
    calls("read_all(0, 10, categories => '{account,other}')")
    calls("read_category('account')")
    calls("read_page(0, 10, stream_pattern => 'none%')")
    calls("read_matching('{\"a\": 1}')")
    calls("read_matching('{\"a\": 1}', categories => '{account}', max_looked => 10)")
    calls("read_matching('{\"a\": 1}', categories => '{account,order}', max_looked => 10)")
    calls("read_correlated('r')")
    calls("read_page_json(0, 10)")
    calls("read_matching_json('{\"a\": 1}', max_looked => 10)")
    calls("read_page(0, 10, partition => 1, partitions => 4, partition_by => 'cardinal_id')")
    calls("applied_migrations()")
    calls("schema_version()")


def sleep(calls: Calls) -> None:
    calls("safe_position()")
    calls("last_position()")
    calls("horizon()")
    calls("fall_asleep()")
    calls("wake_up()")
    calls("publish_horizon()")
    calls("horizon_age()")


def consume(calls: Calls, partitions: int) -> None:
    name = f"s-{uuid4()}"
    for _ in range(2):  # the second one finds it there
        calls(
            f"create_subscription('{name}', partitions => {partitions}, on_failure => 'park',"
            " max_attempts => 1)"
        )
    calls("position_before('-infinity')")
    calls(f"rewind_subscription('{name}', 0)")
    calls(f"refilter_subscription('{name}', from_position => 0)")

    ((_, partition, token, _),) = calls(f"claim_partition('{{{name}}}', 'w')")
    lease = f"'{name}', {partition}, {token}"
    position = calls(f"fetch_batch({lease}, 2)")[0][3]
    calls(f"fail_message({lease}, {position}, 'error')")
    calls(f"extend_lease({lease})")
    position = calls(f"fetch_batch({lease}, 2)")[0][3]
    calls(f"acknowledge({lease}, {position})")
    calls(f"list_parked('{name}')")
    calls(f"replay_parked('{name}')")
    position = calls(f"fetch_batch({lease}, 2)")[0][3]
    calls(f"settle_parked({lease}, {position})")
    with calls.transaction():
        calls(f"begin_handling({lease})")
        calls(f"check_handling({lease})")
    calls(f"release_partition({lease})")

    (_, partition, token, *_), *_ = calls(f"claim_batch('{{{name}}}', 'w', '1 minute', 10)")
    calls(f"fetch_batch_json('{name}', {partition}, {token}, 10)")
    calls(f"abandon_partition('{name}', {partition}, {token}, 'error')")
    calls(f"claim_batch_json('{{{name}}}', 'w', 60, 10)")
    calls(f"next_claim('{{{name}}}')")
    calls("list_subscriptions()")
    calls("list_partitions()")
    calls(f"subscription_position('{name}')")
    calls(f"pause_subscription('{name}')")
    calls(f"resume_subscription('{name}')")
    calls(f"drop_parked('{name}')")
    with calls.transaction():
        calls(f"hold_subscription('{name}')")
    calls(f"refilter_subscription('{name}', types => '{{A}}')")
    calls(f"rewind_subscription('{name}', safe_position())")
    calls(f"repartition_subscription('{name}', {partitions + 1})")
    calls(f"claim_partition('{{{name}}}', 'w')")
    calls(f"drop_subscription('{name}')")


def consume_tagged(calls: Calls, partitions: int) -> None:
    name = f"s-{uuid4()}"
    calls(
        f"create_subscription('{name}', partitions => {partitions}, tags => '{{a,b}}',"
        " start_position => 0)"
    )
    ((_, partition, token, _),) = calls(f"claim_partition('{{{name}}}', 'w')")
    assert calls(f"fetch_batch('{name}', {partition}, {token}, 2)") != []
    calls(f"release_partition('{name}', {partition}, {token})")
    assert calls(f"claim_batch('{{{name}}}', 'w', '1 minute', 10)") != []
    calls(f"refilter_subscription('{name}', tags => '{{a}}')")
    calls(f"drop_subscription('{name}')")


def test_every_function_is_called(calls: Calls, server_conninfo: str, store: str) -> None:
    with psycopg.connect(server_conninfo, options=f"-c search_path={store}") as conn:
        granted = conn.execute(
            """
            SELECT p.proname
            FROM pg_proc AS p
            JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname = 'plpgsql'
            WHERE p.pronamespace = current_schema()::regnamespace
              AND p.proname
                = ANY (
                  _granted_names('read') || _granted_names('write') || _granted_names('consume')
                )
            """
        ).fetchall()
    assert {name for (name,) in granted} - calls.names == set()


def test_nothing_is_compiled(calls: Calls) -> None:
    assert [str(plan) for plan in calls.outer + calls.inner if plan.compiled] == []


def test_statements_in_functions_must_not_be_compiled_at_any_cost(calls: Calls) -> None:
    assert calls.inner != []
    assert [str(plan) for plan in calls.inner if plan.may_compile] == []


def test_a_call_costs_nearly_nothing(calls: Calls) -> None:
    assert [str(plan) for plan in calls.outer if plan.cost > CALL_COSTS_AT_MOST] == []


def test_a_server_with_llvm_tells_what_it_compiles(server_conninfo: str, store: str) -> None:
    with Explained(server_conninfo, store, "auto") as session:
        ((has_llvm,),) = session.rows("SELECT pg_jit_available()")
        session.conn.execute("SET jit_above_cost = 0")
        session.rows("SELECT sum(n) FROM generate_series(1, 10) AS s (n)")
        assert [plan.jit is not None for plan in session.plans] == [has_llvm]


def test_some_statement_in_a_huge_store_would_be_compiled(calls: Calls, layout: str) -> None:
    assert layout != "huge" or max(plan.cost for plan in calls.inner) > JIT_ABOVE_COST


def test_a_write_finds_its_stream_by_index(calls: Calls) -> None:
    writes = [
        plan for plan in calls.inner if plan.query.lstrip().startswith("INSERT INTO messages")
    ]
    assert writes != []
    for plan in writes:
        assert plan.walks == [], str(plan)


def test_no_call_walks_along_all_messages_or_streams(calls: Calls) -> None:
    """Also not with a plan that was made while the store was tiny."""
    for plan in calls.inner:
        walked = {node.get("Relation Name") for node in plan.walks}
        assert not walked & {"messages", "streams"}, str(plan)
