"""Processes of a release and of the next one share a store, while it is upgraded and afterwards.

The releases are the packages in `released/`, which meet the tree, and the tree itself, which meets
a release that will follow it: a copy of it, with one more migration.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from pgstore._core import sql_files
from tests.conftest import Connect
from tests.migrations.installers import catalog
from tests.migrations.side_by_side import (
    INSTALL,
    OPEN,
    RELEASED,
    STREAMS,
    TREE,
    WORK,
    WRITE,
    Package,
    ended,
    next_release,
    package_of,
)
from tools import freeze_release

Start = Callable[[Package, str, str], "subprocess.Popen[str]"]


@pytest.fixture(params=[*RELEASED, TREE])
def packages(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Package, Package]:
    """A release, and one that follows it."""
    old = package_of(request.param, tmp_path / "old")
    if request.param == TREE:
        return old, next_release(old, tmp_path / "new")
    return old, package_of(TREE, tmp_path / "new")


@pytest.fixture
def start(conninfo: str, schema: str, noted: "Noted") -> Iterator[Start]:
    """Start a program with a package, on the test's store; it is killed if it outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(package: Package, program: str, label: str) -> subprocess.Popen[str]:
        started.append(package.start(program, conninfo, schema, label))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        sys.stdout.write("".join(process.communicate()))  # pytest shows it if the test fails


@pytest.fixture
def noted(schema: str, connect: Connect) -> Iterator["Noted"]:
    noted = Noted(connect(), sql.Identifier(f"noted_{schema}"))
    noted.run("CREATE TABLE {} (id bigserial, worker text, stream text, version bigint)")
    yield noted
    noted.run("DROP TABLE {}")


class Noted:
    """The table that the workers' handlers write to."""

    def __init__(self, conn: psycopg.Connection, table: sql.Identifier) -> None:
        self.conn = conn
        self.table = table

    def run(self, text: str) -> psycopg.Cursor:
        return self.conn.execute(sql.SQL(text).format(self.table))

    def messages(self) -> list[tuple[str, int]]:
        return self.run("SELECT stream, version FROM {} ORDER BY id").fetchall()

    def counts(self) -> dict[str, int]:
        return dict(self.run("SELECT worker, count(*) FROM {} GROUP BY 1").fetchall())

    def wait_for_more(self, *workers: str) -> None:
        """Wait until each of the workers has handled some more."""
        goal = self.counts()
        self.wait(lambda: all(self.counts().get(w, 0) >= goal.get(w, 0) + 50 for w in workers))

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, self.counts()
            time.sleep(0.05)


def test_workers_and_writers_of_two_releases_share_a_subscription_during_an_upgrade(
    packages: tuple[Package, Package], start: Start, noted: Noted
) -> None:
    old, new = packages
    assert ended(start(old, INSTALL, "")) == str(old.schema_version)
    old_writer, old_worker = start(old, WRITE, "old"), start(old, WORK, "old")
    noted.wait_for_more("old")

    assert ended(start(new, INSTALL, "")) == str(new.schema_version)
    noted.wait_for_more("old")
    new_writer, new_worker = start(new, WRITE, "new"), start(new, WORK, "new")
    noted.wait_for_more("old", "new")

    old_worker.terminate()
    ended(old_worker)
    handled = noted.counts()["old"]
    seen = len(noted.messages())
    # Of every stream: so the new worker has all partitions, which it could not inherit.
    noted.wait(lambda: len({stream for stream, _ in noted.messages()[seen:]}) == STREAMS)
    rounds = int(ended(old_writer)) + int(ended(new_writer))
    noted.wait(lambda: len(noted.messages()) >= rounds * STREAMS)
    new_worker.terminate()
    ended(new_worker)

    assert noted.counts()["old"] == handled
    by_stream: dict[str, list[int]] = {}
    for stream, version in noted.messages():
        by_stream.setdefault(stream, []).append(version)
    assert by_stream == {f"account-{n}": list(range(1, rounds + 1)) for n in range(STREAMS)}


@pytest.mark.parametrize("create", ["create", "as it is"])
def test_process_of_the_old_release_starts_after_the_upgrade_unless_that_was_breaking(
    packages: tuple[Package, Package], conninfo: str, schema: str, create: str
) -> None:
    """After a breaking one it is refused. The store stays as the new release has made it."""
    old, new = packages
    ended(old.start(INSTALL, conninfo, schema, ""))
    assert ended(old.start(OPEN, conninfo, schema, "", create)) == "0"
    ended(new.start(INSTALL, conninfo, schema, ""))
    before = catalog(conninfo, schema)
    refused = f"MS010 {new.schema_version} {old.schema_version}"
    expected = refused if new.needed_version > old.schema_version else "0"
    assert ended(old.start(OPEN, conninfo, schema, "", create)) == expected
    assert ended(new.start(OPEN, conninfo, schema, "", create)) == "0"
    assert catalog(conninfo, schema) == before


def test_frozen_store_is_the_one_that_the_package_installs() -> None:
    files, latest = freeze_release.of_tree(), sql_files.migrations()[-1].number
    text = freeze_release.frozen(files, latest, None)
    assert [sum for sum in sql_files.checksums().values() if sum not in text] == []
    assert sql_files.repeated_sql().splitlines()[-1] in text
