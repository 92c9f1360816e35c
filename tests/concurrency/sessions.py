"""Named sessions whose statements run one step at a time, and may wait for one another."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

DEADLINE = 20.0

# The second keys of the advisory locks of one class that a backend holds. A prepared transaction
# has no backend: NULL.
_LOCK_KEYS = """
SELECT l.objid::bigint
FROM pg_locks AS l
WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND l.classid::bigint = {store}.{lock_class}()::bigint & 4294967295
  AND l.pid IS NOT DISTINCT FROM %s
ORDER BY 1
"""

# A message by each function that writes; the parameters are the same.
_WRITES = {
    "write_message": """
        SELECT version, global_position FROM write_message(
          %s::text, 'T', '{}', expected_version => %s::bigint, message_id => %s::uuid
        )
    """,
    "write_messages": """
        SELECT w.version, w.global_position
        FROM (VALUES (%s::text, %s::bigint, %s::uuid)) AS v (stream, expected_version, message_id)
        CROSS JOIN LATERAL write_messages(
          v.stream,
          jsonb_build_array(
            jsonb_build_object('type', 'T', 'data', '{}'::jsonb, 'message_id', v.message_id)
          ),
          v.expected_version
        ) AS w
    """,
}
FUNCTIONS = list(_WRITES)

Place = tuple[int, int]  # version and global position


def until(condition: Callable[[], bool], what: str) -> None:
    """Look again and again until the condition holds."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"still waiting: {what}"
        time.sleep(0.002)


class Step:
    """A statement under way in a session."""

    def __init__(self, session: "Session", future: "Future[list[TupleRow]]") -> None:
        self._session = session
        self._future = future

    def blocked_by(self, *others: "Session") -> Self:
        """Wait until the server says that this step waits for the others, for each of them."""
        pids = {other.pid for other in others}

        def blocked() -> bool:
            assert not self._future.done(), f"{self._session.name} did not wait"
            return pids <= self._session.blockers()

        until(blocked, f"{self._session.name} for {[other.name for other in others]}")
        return self

    def done(self) -> bool:
        """Whether it has ended."""
        return self._future.done()

    def rows(self) -> list[TupleRow]:
        """What it answered, once it is done."""
        return self._future.result(DEADLINE)

    def place(self) -> Place:
        """The version and global position that a write answered."""
        ((version, position),) = self.rows()
        return version, position

    def sqlstate(self) -> str | None:
        """The code of its error; None if it succeeded."""
        error = self._future.exception(DEADLINE)
        if error is None:
            return None
        assert isinstance(error, psycopg.Error)
        return error.sqlstate


class Session:
    """A connection in autocommit mode, with the store as its search_path."""

    def __init__(
        self, name: str, conninfo: str, store: str, observer: psycopg.Connection[TupleRow]
    ) -> None:
        self.name = name
        self.conn = psycopg.connect(
            conninfo,
            autocommit=True,
            application_name=name,
            options=f"-c search_path={store} -c deadlock_timeout=20ms -c lock_timeout=20s",
        )
        self.pid = self.conn.info.backend_pid
        self._store = store
        self._observer = observer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self.conn.closed:
            self.conn.cancel()
        self._thread.shutdown()
        self.conn.close()
        # Its locks go with its process, a moment later: the next test must not find them.
        until(lambda: not self._lives(), f"{self.name} has ended")

    def _lives(self) -> bool:
        found = self._observer.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [self.pid])
        return bool(found.fetchall())

    def start(self, statement: str, *parameters: object) -> Step:
        """Run a statement in the background."""
        return self._start(statement, parameters)

    def start_named(self, statement: str, parameters: Mapping[str, object]) -> Step:
        """Run a statement with named parameters in the background."""
        return self._start(statement, parameters)

    def _start(self, statement: str, parameters: Sequence[object] | Mapping[str, object]) -> Step:
        def execute() -> list[TupleRow]:
            cursor = self.conn.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

        return Step(self, self._thread.submit(execute))

    def run(self, statement: str, *parameters: object) -> list[TupleRow]:
        """Run a statement that does not wait for anybody."""
        return self.start(statement, *parameters).rows()

    def number(self, statement: str, *parameters: object) -> int:
        """The one number that a statement answers."""
        ((number,),) = self.run(statement, *parameters)
        assert isinstance(number, int)
        return number

    def start_write(
        self,
        stream: str,
        expected_version: int | None = None,
        message_id: UUID | None = None,
        *,
        function: str = "write_message",
    ) -> Step:
        """Write a message in the background, by one of the functions that do it."""
        return self.start(_WRITES[function], stream, expected_version, message_id)

    def write(
        self,
        stream: str,
        expected_version: int | None = None,
        message_id: UUID | None = None,
        *,
        function: str = "write_message",
    ) -> Place:
        """Write a message, without waiting for anybody; its version and global position."""
        return self.start_write(stream, expected_version, message_id, function=function).place()

    def refused(
        self,
        stream: str,
        expected_version: int | None = None,
        message_id: UUID | None = None,
        *,
        function: str = "write_message",
    ) -> str | None:
        """The code with which a write is refused; None if it succeeds."""
        return self.start_write(stream, expected_version, message_id, function=function).sqlstate()

    def version(self, stream: str) -> int:
        """The stream's version, as this session sees it."""
        return self.number("SELECT stream_version(%s)", stream)

    def begin(self, isolation: str = "READ COMMITTED") -> None:
        """Begin a transaction and take its first snapshot."""
        self.run(f"BEGIN ISOLATION LEVEL {isolation}")
        self.run("SELECT 1")

    def commit(self) -> None:
        self.run("COMMIT")

    def rollback(self) -> None:
        self.run("ROLLBACK")

    def blockers(self) -> set[int]:
        """Process ids of the sessions that this one waits for."""
        ((pids,),) = self._observer.execute("SELECT pg_blocking_pids(%s)", (self.pid,)).fetchall()
        return set(pids)

    def marks(self) -> list[int]:
        """The bounds that this session's in-flight marks hold."""
        return self.lock_keys("mark", self.pid)

    def bell_keys(self) -> list[int]:
        """The bell keys that this session has locked."""
        return self.lock_keys("bell", self.pid)

    def lock_keys(self, kind: str, pid: int | None) -> list[int]:
        """The keys that a backend holds in the class `stream`, `mark` or `bell`, low to high."""
        query = sql.SQL(_LOCK_KEYS).format(
            store=sql.Identifier(self._store), lock_class=sql.SQL(f"_{kind}_lock_class")
        )
        return [key for (key,) in self._observer.execute(query, (pid,))]


class Open(Protocol):
    """Open a session with this name."""

    def __call__(self, name: str) -> Session: ...
