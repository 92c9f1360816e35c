"""Servers of another version of PostgreSQL, beside those of the package."""

import os
import subprocess
from pathlib import Path

from pgstore.embedded import Server, account
from pgstore.embedded import places as folders


class NoOtherVersion(Exception):
    """PGSTORE_TEST_BIN names no folder of another version's programs."""


def programs() -> Path:
    """The folder of the other version's programs."""
    named = os.environ.get("PGSTORE_TEST_BIN")
    if named is None:
        raise NoOtherVersion
    return Path(named).resolve()


def version() -> str:
    """The other version."""
    said = subprocess.run(
        [programs() / "postgres", "--version"], capture_output=True, text=True, check=True
    )
    return said.stdout.split()[2]


class OtherVersion(Server):
    """A server whose programs are in the folder that PGSTORE_TEST_BIN names."""

    @property
    def bin(self) -> Path:
        return programs()

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
