"""The pages on standbys and on high availability, followed on embedded servers."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from subprocess import Popen

import pytest

from pgstore.embedded import account
from tests.docs.following import Followed, commands_in, wait_until
from tests.docs.test_examples import ROOT, blocks_of, matches

STANDBYS, AVAILABILITY = (
    ROOT / "docs" / "operations" / f"{name}.md" for name in ("standbys", "high-availability")
)
STOP = "pgstore server stop"


class Guide:
    """A terminal in which the commands of a page are given."""

    def __init__(self, folder: Path) -> None:
        environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        self.terminal = Followed(STANDBYS, folder, environment)
        self.programs = ExitStack()
        self._last: Popen[str] | None = None

    def follow(self, page: Path, until: str = "") -> None:
        """Give the commands of a page up to one that begins so."""
        for block in blocks_of(page):
            for command, said in commands_in(block):
                if until and command.startswith(until):
                    return
                self._give(command, said)

    def _give(self, command: str, said: str) -> None:
        if command.startswith("export "):
            name, value = command.removeprefix("export ").split("=", 1)
            found = self.terminal.done(f"printf %s {value}").stdout
            assert found, command
            self.terminal.environment[name] = found
        elif command.endswith(" &"):
            shown = f"{command.removesuffix(' &')} > shown.txt"
            self._last = self.programs.enter_context(self.terminal.started(shown))
            self.shows(said)
        elif command.startswith("kill "):
            self.programs.close()
        elif command.startswith("pgstore tail"):
            assert self._last is not None
            wait_until(lambda: matches(self.terminal.done(command).stdout, said), self._last)
        elif not command.startswith("pip"):
            self.terminal.run(command, said)
            if "pg_basebackup" in command:
                _hand_over(self.terminal.folder / "standby")

    def shows(self, said: str) -> None:
        """Wait until the program that was started last has shown this."""
        assert self._last is not None
        file = self.terminal.folder / "shown.txt"
        wait_until(lambda: file.exists() and matches(file.read_text(), said), self._last)


@pytest.fixture
def guide() -> Iterator[Guide]:
    guide = Guide(account.temporary_folder())
    with guide.programs:
        yield guide
    for name in ("primary", "standby"):  # if a step before the last has failed
        guide.terminal.done(f"PGSTORE_HOME={name} {STOP}")
    shutil.rmtree(guide.terminal.folder)


def test_a_standby_is_made_and_read(guide: Guide) -> None:
    guide.follow(STANDBYS)


def test_the_standby_takes_over(guide: Guide) -> None:
    guide.follow(STANDBYS, until="kill")
    guide.follow(AVAILABILITY, until="kill")
    guide.shows('…{"amount": 10}…')


def _hand_over(folder: Path) -> None:
    """As root, for the account that the server runs as; otherwise it has made this."""
    if os.geteuid() == 0:
        folder.chmod(0o711)
        for each in (folder / "data").rglob("*"):
            account.hand_over(each)
        account.hand_over(folder / "data")
