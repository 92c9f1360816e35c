"""No call deadlocks with an installer that comes in between, nor with one that it comes into."""

from collections.abc import Iterator

import pytest

from pgstore._core import sql_files
from tests.concurrency.calls import OF_ALL_TABLES
from tests.concurrency.locks import TABLES, settled
from tests.concurrency.stage import Stage

# The functions that read a view, which every installer makes anew.
_OF_VIEWS = {
    "all_messages": "SELECT FROM all_messages",
    "health": "SELECT health()",
    "store_statistics": "SELECT store_statistics()",
}

# Holds up an installer at the first view; of the tables it locks none.
_VIEW = "COMMENT ON VIEW all_messages IS ''"
# Holds up those that read.
_TABLE = "LOCK TABLE parked_messages IN ACCESS EXCLUSIVE MODE"


def _begin(name: str) -> str:
    return (
        f"SELECT set_config('pgstore.schema', '{name}', true),"
        f" set_config('pgstore.manifest', $manifest${sql_files.manifest()}$manifest$, true);"
        + sql_files.read("prepare.sql")
    )


def _script(text: str) -> str:
    return text.replace("%", "%%")  # as psycopg wants it


def _again(name: str) -> str:
    return _script(_begin(name) + sql_files.repeated_sql() + sql_files.read("record.sql"))


def _upgrade(name: str) -> str:
    """As a migration that changes every table, without the functions, which nobody waits for."""
    tables = f"LOCK TABLE {', '.join(TABLES)} IN ACCESS EXCLUSIVE MODE"
    views = "".join(path.read_text() for path in sorted((sql_files.ROOT / "views").glob("*.sql")))
    missing = f"DELETE FROM {name}.migrations WHERE number = {sql_files.migrations()[-1].number};"
    return _script(
        missing + _begin(name) + _PATIENT.format(tables) + views + sql_files.read("record.sql")
    )


_PATIENT = """
DO $$
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '100ms';
      {};
      EXIT;
    EXCEPTION
      WHEN lock_not_available THEN
        PERFORM pg_sleep(0.01);
    END;
  END LOOP;
END
$$;
SET LOCAL lock_timeout = '3s';
"""


@pytest.fixture(scope="module")
def stage(server_conninfo: str) -> Iterator[Stage]:
    with Stage.of_new_store(server_conninfo) as stage:
        for session in (stage.one, stage.other):
            # As servers have it: migrations wait for less, and give back what they hold.
            session.run("SET deadlock_timeout = '1s'")
        yield stage


def test_no_call_deadlocks_with_an_installation_over_the_same(stage: Stage) -> None:
    again = _again(stage.store)
    met = {}
    for name, call in (stage.calls | _OF_VIEWS).items():
        gates = [_VIEW]
        if name in stage.held:
            gates = [k.take() for k in stage.held[name].locks if k.of == "key of the installer"]
        for gate in gates:
            met[name, "into it"] = stage.meet(again, call, gate)
            met[name, "before it"] = stage.meet(call, again, gate)
    assert {end: states for end, states in met.items() if states != [None, None]} == {}
    assert ("grant_access, read", "into it") in met


def test_no_call_deadlocks_with_an_upgrade_that_changes_all_tables(stage: Stage) -> None:
    upgrade = _upgrade(stage.store)
    met = {}
    kinds = {frozenset(k.name for k in held.locks): name for name, held in stage.held.items()}
    for name, call in _OF_VIEWS.items() | {(name, stage.calls[name]) for name in kinds.values()}:
        met[name, "into it"] = stage.meet(upgrade, call, _VIEW)
        gates = [_TABLE]
        if name in stage.held:
            gates = [lock.take() for lock in sorted(stage.held[name].locks)[-1:]]
        for gate in gates:
            met[name, "before it"] = stage.meet(call, upgrade, gate)
    # write_group waits for a table for 100 ms at most, which may be less than the upgrade takes.
    allowed = {name: {None, "55P03"} for name, _ in met if name.startswith("write_group")}
    assert {
        end: states for end, states in met.items() if not set(states) <= allowed.get(end[0], {None})
    } == {}


@pytest.mark.parametrize("fence", OF_ALL_TABLES)
def test_no_call_deadlocks_with_a_fence(stage: Stage, fence: str) -> None:
    met = {}
    kinds = {frozenset(k.name for k in held.locks): name for name, held in stage.held.items()}
    for name, call in _OF_VIEWS.items() | {(name, stage.calls[name]) for name in kinds.values()}:
        gates = [_TABLE]
        if name in stage.held:
            gates = [lock.take() for lock in sorted(stage.held[name].locks)[-1:]]
        for gate in gates:
            met[name, "into it"] = stage.meet(OF_ALL_TABLES[fence], call, gate)
            met[name, "before it"] = stage.meet(call, OF_ALL_TABLES[fence], gate)
    allowed = {name: {None, "55P03"} for name, _ in met if name.startswith("write_group")}
    assert {
        end: states for end, states in met.items() if not set(states) <= allowed.get(end[0], {None})
    } == {}


@pytest.mark.parametrize("name", _OF_VIEWS)
def test_views_are_locked_before_tables(stage: Stage, name: str) -> None:
    """As an upgrade does: that one takes hold of all views, and then of the tables."""
    view = name if name == "all_messages" else "writers_in_flight"
    stage.gate.run(f"BEGIN; ALTER VIEW {view} OWNER TO CURRENT_USER")
    step = stage.one.start(f"BEGIN; {_OF_VIEWS[name]}; ROLLBACK")
    waits = settled(stage.one, step, stage.observer)
    held = stage.observer.execute(
        "SELECT c.relname FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation"
        " WHERE l.pid = %s AND c.relname = ANY (%s)",
        (stage.one.pid, list(TABLES)),
    ).fetchall()
    stage.gate.rollback()
    assert (waits, held, step.sqlstate()) == (True, [], None)
