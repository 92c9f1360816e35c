"""The page about moves: its example with two servers, command by command."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pgstore
from pgstore._core.places import place_of
from pgstore.embedded import Server, account
from tests.docs.following import commands_in
from tests.docs.test_examples import ROOT, blocks_of, matches
from tests.embedded.moving import SETTINGS

PAGE = ROOT / "docs" / "operations" / "move.md"
NEXT = "@@ next"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's account can pass through; its servers are stopped afterwards."""
    place = account.temporary_folder()
    try:
        yield place
    finally:
        for home in ("one", "two"):
            subprocess.run(
                [sys.executable, "-m", "pgstore", "server", "stop"],
                env=os.environ | {"PGSTORE_HOME": str(place / home)},
                check=True,
            )
        shutil.rmtree(place)


def test_example_with_two_servers_is_as_it_says(folder: Path) -> None:
    commands = [
        each
        for block in blocks_of(PAGE)
        if block.language == "console"
        for each in commands_in(block)
        if not each[0].startswith("pip ")
    ]
    with Server(settings={"fsync": "off"}) as server:
        programs = server.bin
    script = f'pgstore() {{ "{sys.executable}" -m pgstore "$@"; }}\n' + "".join(
        f"{command}\necho '{NEXT}'\n" for command, _ in commands
    )
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("PG")}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment | {"PATH": f"{programs}:{os.environ['PATH']}", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    printed = done.stdout.split(f"{NEXT}\n")
    assert len(commands) > 10
    for (command, said), found in zip(commands, printed, strict=False):
        if said:
            assert matches(found, "…" + said), f"{command}\n{found}"
        else:
            assert "error" not in found, f"{command}\n{found}"


def test_store_is_moved_from_python_as_the_page_says() -> None:
    (block,) = [each for each in blocks_of(PAGE) if "def move_bank" in each.code]
    names: dict[str, Any] = {"pgstore": pgstore}
    exec(block.code, names)
    with Server(settings=SETTINGS) as one, Server(settings=SETTINGS) as two:
        pgstore.install(one.conninfo, store="bank")
        directory = pgstore.Directory(one.conninfo)
        directory.install()
        directory.put("bank", one.conninfo)
        names["move_bank"](one.conninfo, two.conninfo, directory)
        assert directory.place("bank").conninfo == place_of(two.conninfo)
        with pytest.raises(SystemExit):  # it is not there any more
            names["move_bank"](one.conninfo, two.conninfo, directory)
