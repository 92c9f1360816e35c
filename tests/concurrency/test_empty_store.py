"""A store that is emptied again and again, while others write and follow."""

import threading
import time

import psycopg
from psycopg.rows import TupleRow

from tests.concurrency.sessions import Open

_ROUNDS = 5


def _connect(conninfo: str, store: str) -> psycopg.Connection[TupleRow]:
    options = f"-c search_path={store} -c lock_timeout=20s"
    return psycopg.connect(conninfo, autocommit=True, options=options)


def test_writers_and_readers_lose_nothing_but_what_was_deleted(
    server_conninfo: str, store: str, session: Open
) -> None:
    """Each writer's versions go on one by one; the reader sees positions rise, and the last."""
    stop = threading.Event()
    errors: list[BaseException] = []
    written: dict[str, list[int]] = {f"emptied-{n}": [] for n in range(4)}
    seen: list[int] = []

    def write(stream: str, statement: str) -> None:
        try:
            with _connect(server_conninfo, store) as conn:
                while not stop.is_set():
                    row = conn.execute(statement.encode(), [stream]).fetchone()
                    assert row is not None
                    written[stream].append(row[0])
        except BaseException as error:
            errors.append(error)

    def follow() -> None:
        try:
            with _connect(server_conninfo, store) as conn:
                position, end = 0, False
                while not end:
                    end = stop.is_set() and not any(thread.is_alive() for thread in writers)
                    page = "SELECT global_position FROM read_category('emptied', %s)"
                    found = [row[0] for row in conn.execute(page, [position])]
                    seen.extend(found)
                    position = found[-1] if found else position
        except BaseException as error:
            errors.append(error)

    ways = (
        "SELECT version FROM write_message(%s, 'T', '1')",
        "SELECT version FROM write_arrays(%s, '{T}', '{1}')",
    )
    writers = [
        threading.Thread(target=write, args=(stream, ways[n % 2]))
        for n, stream in enumerate(written)
    ]
    reader = threading.Thread(target=follow)
    for thread in (*writers, reader):
        thread.start()
    admin = session("admin")
    for _ in range(_ROUNDS):
        time.sleep(0.1)
        admin.run("SELECT empty_store(current_schema())")
    time.sleep(0.1)
    stop.set()
    for thread in (*writers, reader):
        thread.join(30)
    assert errors == []
    for stream, versions in written.items():
        assert versions == list(range(1, len(versions) + 1)), stream
    assert seen == sorted(set(seen))
    rest = "SELECT global_position FROM all_messages WHERE starts_with(stream, 'emptied-')"
    assert {position for (position,) in admin.run(rest)} <= set(seen)
    assert admin.run("SELECT check_name, example FROM verify_store() WHERE wrong > 0") == []
