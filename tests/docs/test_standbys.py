"""The page on reads from standbys, followed on embedded servers."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pgstore.embedded import account
from tests.docs.following import Followed, commands_in, wait_until
from tests.docs.test_examples import ROOT, blocks_of, matches

PAGE = ROOT / "docs" / "operations" / "standbys.md"
STOP = "pgstore server stop"


@pytest.fixture
def guide() -> Iterator[Followed]:
    folder = account.temporary_folder()
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PGSTORE_HOME": str(folder / "primary"),
    }
    guide = Followed(PAGE, folder, environment)
    yield guide
    for command in (f"PGSTORE_HOME=standby {STOP}", STOP):  # if a step before them has failed
        guide.done(command)
    shutil.rmtree(folder)


def test_the_page_is_followed_on_embedded_servers(guide: Followed) -> None:
    with ExitStack() as programs:
        for command, said in (each for block in blocks_of(PAGE) for each in commands_in(block)):
            if command.startswith("export "):
                name, value = command.removeprefix("export ").split("=", 1)
                guide.environment[name] = guide.done(f"printf %s {value}").stdout
                assert guide.environment[name], command
            elif command.endswith(" &"):
                publisher = programs.enter_context(guide.started(command.removesuffix(" &")))
            elif "tail" in command:
                wait_until(lambda c=command, s=said: matches(guide.done(c).stdout, s), publisher)  # type: ignore[misc]
            elif command == "kill %1":
                programs.close()
            elif not command.startswith("pip"):
                guide.run(command, said)
                if "pg_basebackup" in command:
                    _hand_over(guide.folder / "standby")


def _hand_over(folder: Path) -> None:
    """As root, for the account that the server runs as; otherwise it has made this."""
    if os.geteuid() == 0:
        folder.chmod(0o711)
        for each in (folder / "data").rglob("*"):
            account.hand_over(each)
        account.hand_over(folder / "data")
