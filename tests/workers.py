"""How pytest-xdist shares the tests among processes, each of which has a server of its own.

Whole files go to a process, because their tests share what is made once. The files that take
longest go first, so that no process is left with one at the end. A test that measures, or needs all
cores for itself, is marked `alone`: no other process runs a test meanwhile.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

# What takes longest, the longest first, and those whose tests may go to several processes.
SPLIT = ("tests/faults/test_faults.py", "tests/stress/", "tests/embedded/test_embedded.py")
FIRST = (
    *SPLIT,
    "tests/embedded/test_high_availability.py",
    "tests/embedded/test_move",
    "tests/cli/test_default_server.py",
    "tests/test_main.py",
    "tests/docs/test_examples.py",
    "tests/docs/",
    "tests/cli/test_terminal.py",
    "tests/migrations/test_released.py",
    "tests/migrations/test_install.py",
    "tests/plans/",
    "tests/message_db/",
    "tests/codec/test_generated.py",
    "tests/client/test_run_signals.py",
    "tests/fuzz/",
    "tests/migrations/test_attempts.py",
    "tests/client/test_killed_workers.py",
    "tests/cli/",
    "tests/transfer/",
    "tests/concurrency/",
    "tests/testing/",
)

# Of an object, in the text that Python makes of it.
ADDRESS = re.compile(r" at 0x[0-9a-f]+>")


class ByFile(LoadFileScheduling):
    """Hand out whole files, and tests of the slowest ones, in the order in which they stand."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if nodeid.startswith(SPLIT) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files of `FIRST` first and those with tests that are `alone` last, at their ends."""
    if differ := [item.nodeid for item in items if ADDRESS.search(item.nodeid)]:
        raise pytest.UsageError(f"These ids differ in each process; give others: {differ}")
    with_some = {item.path for item in items if is_alone(item)}
    places = {path: n for n, path in enumerate(dict.fromkeys(item.path for item in items))}

    def place(item: pytest.Item) -> tuple[bool, int, int, bool]:
        early = (n for n, each in enumerate(FIRST) if item.nodeid.startswith(each))
        return item.path in with_some, next(early, len(FIRST)), places[item.path], is_alone(item)

    items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    if TURN not in item.config.stash:
        base: Path = item.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        item.config.stash[TURN] = Turn(base.parent)
        item.config.add_cleanup(item.config.stash[TURN].close)
    turn = item.config.stash[TURN]
    turn.take(alone=is_alone(item))
    try:
        return (yield)
    finally:
        # Were the others let in between two that are alone, the second would wait for them.
        if not (is_alone(item) and nextitem is not None and is_alone(nextitem)):
            turn.end()


def is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


class Turn:
    """A lock that the processes share; a test that is alone holds it for itself."""

    def __init__(self, folder: Path) -> None:
        self._gate = (folder / "gate.lock").open("w")
        self._lock = (folder / "turn.lock").open("w")
        self._taken = False

    def take(self, *, alone: bool) -> None:
        if self._taken:
            return
        # A process that waits keeps the gate shut: otherwise the others would never all be out.
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        fcntl.flock(self._lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._gate, fcntl.LOCK_UN)
        self._taken = True

    def end(self) -> None:
        # Also for a process that the test has forked, which has the file open, too.
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        self._taken = False

    def close(self) -> None:
        self._gate.close()
        self._lock.close()


TURN = pytest.StashKey[Turn]()
