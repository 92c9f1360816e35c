"""A machine that has a part of a language's programs is told as one that lacks the language."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.languages.drivers import DRIVERS, LANGUAGES, Command, is_here, missing, why_not
from tests.skips import skip

# Every machine has a shell and the programs that its scripts call.
ALWAYS = {"sh", "sed"}


def programs(language: str) -> set[str]:
    """The programs that fetch, build and run; not those that are made by it."""
    described = LANGUAGES[language]
    commands: list[Command] = [described.fetch, *described.builds]
    commands += [driver.run for driver in DRIVERS if driver.language == language]
    found = set()
    for command in filter(None, commands):
        found.add(command[2].split()[0] if command[:2] == ("sh", "-c") else command[0])
    return {name for name in found if "/" not in name or name == sys.executable} - ALWAYS


def test_every_program_that_is_called_is_probed() -> None:
    for name, language in LANGUAGES.items():
        assert programs(name) - {probe[0] for probe in language.probes} == set(), name


@pytest.mark.parametrize(
    ("language", "program"),
    [(name, probe[0]) for name, each in LANGUAGES.items() for probe in each.probes],
)
def test_machine_without_one_program_is_told_as_missing(
    language: str, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_here(language):
        skip(language)
    if "/" in program:
        # Python itself, of which a part is missing.
        run = subprocess.run

        def fails(command: Command, **options: bool) -> object:
            return run(["false"], **options)  # type: ignore[call-overload]

        monkeypatch.setattr(subprocess, "run", fails)
    else:
        for folder in reversed(os.environ["PATH"].split(os.pathsep)):
            for path in Path(folder).iterdir() if Path(folder).is_dir() else ():
                link = tmp_path / path.name
                link.unlink(missing_ok=True)
                link.symlink_to(path)
        (tmp_path / program).unlink()
        monkeypatch.setenv("PATH", str(tmp_path))
    # Maven without Java does not start either.
    assert program in missing(language)
    assert not is_here(language)
    if not LANGUAGES[language].packages:
        assert program in why_not(language)
