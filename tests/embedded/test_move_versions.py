"""A store moves to a server of another version, and back: by `make test-versions`."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgstore.embedded import Server, account
from pgstore.embedded import places as folders
from tests.amounts import amount
from tests.embedded.moving import SETTINGS, Load, Places, move, nothing_is_lost
from tests.skips import skip

_BIN = os.environ.get("PGSTORE_TEST_BIN")


class Other(Server):
    """A server whose programs are in the folder that PGSTORE_TEST_BIN names."""

    @property
    def bin(self) -> Path:
        return Path(_BIN or "").resolve()

    def _create_data(self) -> None:
        folders.make_private(self._data)
        # Older versions have no collations of their own.
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        subprocess.run(
            [self._program("initdb"), *options, "--no-sync", f"--pgdata={self._data}"],
            **account.identity(),
            cwd="/",
            stdout=subprocess.DEVNULL,
            check=True,
        )


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    if _BIN is None:
        skip("other_version")
    with Server(settings=SETTINGS) as one, Other(settings=SETTINGS) as other:
        yield one, other


def test_store_moves_to_another_version_and_back_while_it_is_used(places: Places) -> None:
    with Load(places.directory, places.elsewhere) as load:
        load.goes_on()
        for _ in range(amount(1, 10)):
            move(places)
            load.goes_on()
            move(places.back())
            load.goes_on()
        load.settle()
        nothing_is_lost(places.back(), load)
