"""No two calls deadlock, wherever one is when the other comes."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.concurrency.calls import OF_ALL_TABLES, WITHOUT_LOCKS
from tests.concurrency.stage import Stage, Wait

_DESIGN = Path(__file__).parents[2] / "docs" / "design.md"

# The functions for callers that may lock something: PostgreSQL refuses row locks in the others.
_VOLATILE = """
SELECT p.proname
FROM pg_proc AS p
WHERE p.pronamespace = current_schema()::regnamespace AND p.provolatile = 'v'
  AND NOT starts_with(p.proname, '_')
"""


@pytest.fixture(scope="module")
def stage(server_conninfo: str) -> Iterator[Stage]:
    with Stage.of_new_store(server_conninfo) as stage:
        yield stage


@pytest.fixture(scope="module")
def waits(stage: Stage) -> list[Wait]:
    return [wait for name in stage.calls for wait in stage.waits(name)]


def function_of(call: str) -> str:
    return re.split(r"[ ,]", call)[0]


def handler_of(call: str) -> str | None:
    """The subscription whose lease a handler that also writes has."""
    found = re.search(r"write, then \w+ (\w+)|\w+ (\w+), then write", call)
    return found and (found[1] or found[2])


def test_every_function_that_may_lock_is_called(stage: Stage) -> None:
    volatile = {name for (name,) in stage.observer.execute(_VOLATILE)}
    called = set(re.findall(r"\b\w+(?=\()", " ".join(stage.calls.values())))
    assert volatile <= called | WITHOUT_LOCKS | OF_ALL_TABLES.keys()
    assert volatile >= WITHOUT_LOCKS


def test_every_function_is_seen_to_lock(stage: Stage) -> None:
    """Otherwise its call has nothing to lock, and the test below would not see its deadlocks."""
    locking = {function_of(name) for name, held in stage.held.items() if held.locks}
    assert locking == {function_of(name) for name in stage.calls}


def test_no_two_calls_deadlock(stage: Stage) -> None:
    found = []
    for first, held in stage.held.items():
        for second, also_held in stage.held.items():
            # A lease is one worker's: two handlers with the same one are never at work at once.
            if handler_of(first) is not None and handler_of(first) == handler_of(second):
                continue
            shared = held.shared(also_held)
            # With one lock in common one waits for the other, and that is all.
            if len(shared) > 1:
                found += [(first, second, at) for at in shared if stage.deadlock(first, second, at)]
    assert found == []


def table_of(stage: Stage, waits: list[Wait]) -> dict[str, tuple[set[str], set[str]]]:
    """For each kind of lock the functions that wait for it, and those that only try."""
    strong = {lock for held in stage.held.values() for lock in held.strong}
    table: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    waited = {(wait.call, wait.lock) for wait in waits}
    for call, held in stage.held.items():
        for lock in held.locks if handler_of(call) is None else ():
            if not lock.can_be_shared or lock in strong:
                tried = (call, lock) not in waited
                table[lock.name][tried].add(function_of(call))
    for waiting, trying in table.values():
        trying -= waiting
    return dict(table)


def documented() -> dict[str, tuple[set[str], set[str]]]:
    """The table of docs/design.md, in its order."""
    rows = re.findall(r"^\| \d+ \| (.+?) \| (.*?) \| (.*?) \|$", _DESIGN.read_text(), re.M)
    return {
        name: (set(re.findall(r"\w+", waiting)), set(re.findall(r"\w+", trying)))
        for name, waiting, trying in rows
    }


def test_the_table_of_locks_says_which_functions_take_which(
    stage: Stage, waits: list[Wait]
) -> None:
    assert documented() == table_of(stage, waits)


def test_functions_wait_for_locks_in_the_order_of_the_table(
    stage: Stage, waits: list[Wait]
) -> None:
    order = {name: at for at, name in enumerate(documented())}
    found = [
        (wait.call, lock.name, wait.lock.name)
        for wait in waits
        if handler_of(wait.call) is None and wait.lock.name in order
        for lock in wait.holding
        if lock.name in order and order[lock.name] > order[wait.lock.name]
    ]
    assert found == []
