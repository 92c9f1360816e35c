"""The commands of docs/guides/languages.md run each program from an empty folder."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.languages.conftest import Database
from tests.languages.drivers import DRIVERS, OPERATIONS, unanswered
from tests.languages.places import CACHE
from tests.skips import skip

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/guides/languages.md").read_text()


# As npm, go, mvn, cargo and pip say that nobody could be asked.
NO_ANSWER = re.compile(
    "ENOTFOUND|ETIMEDOUT|ECONNRE|EAI_AGAIN|dial tcp|i/o timeout|Could not transfer"
    "|Unknown host|Could not resolve host|[Ff]ailed to (?:connect|download)|NewConnectionError"
    "|Timeout was reached"
)


class Tab(NamedTuple):
    """A driver's tab: the files that it names, their texts, and what to type."""

    programs: list[Path]
    names: list[str]
    commands: list[str]

    @property
    def language(self) -> str:
        return self.programs[0].relative_to(ROOT / "tests/languages").parts[0]


def tabs() -> Iterator[Tab]:
    for text in re.findall(r'(?m)^=== ".*"\n((?:(?:    .*)?\n)*)', PAGE):
        named = re.search(r"(?s)[Tt]he files? (?:is|are)\s(.*?)\.\s", text)
        assert named, text
        yield Tab(
            [ROOT / path for path in re.findall(r'--8<-- "(.*)"', text)],
            re.findall(r"`(\S+)`", named[1]),
            re.findall(r"(?m)^    \$ (.*)$", text),
        )


TABS = list(tabs())


def test_every_driver_has_a_tab() -> None:
    shown = {
        str(path.relative_to(ROOT / "tests/languages")) for tab in TABS for path in tab.programs
    }
    assert {driver.program for driver in DRIVERS} - shown == set()


@pytest.mark.parametrize("tab", TABS, ids=lambda tab: tab.programs[0].parent.name + tab.names[0])
def test_page_can_be_followed(
    tab: Tab, builds: dict[str, Future[Path]], database: Database, tmp_path: Path
) -> None:
    if tab.language not in builds:
        skip(tab.language)
    builds[tab.language].result()
    own = CACHE / tab.language
    environment = os.environ | database.environment | {
        # What has been fetched and built is not again.
        "PATH": f"{own / 'venv/bin'}{os.pathsep}{os.environ['PATH']}",
        "CARGO_TARGET_DIR": str(own / "target"),
        "npm_config_prefer_offline": "true",
    }  # fmt: skip
    done = None
    for command in tab.commands:
        # After each command: cargo init refuses what is there, and makes a file to replace.
        for name, program in zip(tab.names, tab.programs, strict=True):
            if (tmp_path / name).parent.is_dir():
                (tmp_path / name).write_bytes(program.read_bytes())
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        if done.returncode and NO_ANSWER.search(done.stdout + done.stderr):
            # What was fetched before was in a cache.
            unanswered(tab.language).touch()
            skip(tab.language)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    assert done is not None
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [line["operation"] for line in lines] == OPERATIONS
