"""docs/reference/cli.md: every command is there, and prints what the page says."""

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import typer
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pgstore.__main__ import main
from pgstore.cli import SUBJECTS, app, load
from tools import cli_reference as reference

load()


@pytest.fixture
def database(conninfo: str) -> Iterator[str]:
    """A database for the page, and its role dropped afterwards."""
    name = f"cli_{uuid4().hex}"
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield make_conninfo(conninfo, dbname=name)
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        conn.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(reference.ROLE)))


def test_commands_print_what_the_page_says(database: str, tmp_path: Path) -> None:
    page = reference.PAGE.read_text()
    reference.prepare(tmp_path, page, database)
    environment = reference.environment_of(database)
    different = []
    for command, shown in reference.examples(page):
        printed = reference.output_of(command, tmp_path, environment)
        if reference.normalised(printed) != reference.normalised(shown):
            different.append(f"$ {command}\n{printed}\nbut the page says\n{shown}")
    assert not different, "\n\n".join(different)


def test_every_command_is_on_the_page() -> None:
    page = reference.PAGE.read_text()
    assert "```console\n```" not in page
    names = [each.name for each in app.registered_commands if each.name]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        names += [f"{group.name} {each.name}" for each in group.typer_instance.registered_commands]
    assert [name for name in names if f"`pgstore {name}" not in page] == []


def all_commands() -> Iterator[list[str]]:
    yield []
    for each in app.registered_commands:
        yield [str(each.name)]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield [str(group.name)]
        for each in group.typer_instance.registered_commands:
            yield [str(group.name), str(each.name)]


@pytest.mark.parametrize("columns", [80, 200])
def test_help_fits_and_names_values_naturally(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    wrong = {}
    for command in all_commands():
        assert main([*command, "--help"]) == 0
        wrong[" ".join(command)] = [*_wrong(capsys.readouterr().out, command, columns)]
    assert len(wrong) > 30
    assert {command: what for command, what in wrong.items() if what} == {}


def _wrong(text: str, command: list[str], columns: int) -> Iterator[object]:
    """What is wrong with a command's help."""
    lines = text.splitlines()
    yield from (line for line in lines if len(line) > columns)
    # Neither {STREAM}, <bool>, <str> nor N [x>=0].
    yield from re.findall(r"\{[A-Z|:]+\}|<[a-z]+>|x>=|<=x|\[\[", text)
    # Examples keep their lines and their indentation.
    examples = [line for line in lines if re.match(r" +pgstore ", line)]
    yield from (line for line in examples if not line.startswith("   pgstore "))
    source = [line.strip() for line in (_help_of(command) or "").splitlines()]
    shown = [line.strip() for line in examples]
    if shown != [line for line in source if line.startswith("pgstore ")]:
        yield shown
    if "\n\n\n" in re.sub(" +\n", "\n", text):
        yield "empty lines"


# Typer makes the commands anew at each call.
_whole = functools.cache(typer.main.get_command)


def _help_of(command: list[str]) -> str | None:
    found: Any = _whole(app)
    for name in command:
        found = found.commands[name]
    return re.sub(r"\[/?not dim\]", "", found.help or "")


def test_each_command_is_found_in_its_module() -> None:
    """A command that is not listed imports all modules, and one listed elsewhere is not found."""
    for each in app.registered_commands:
        assert each.callback is not None
        assert each.name in SUBJECTS[each.callback.__module__.rpartition(".")[2]]
    registered = [*map(vars, app.registered_commands), *map(vars, app.registered_groups)]
    names = [str(each["name"]) for each in registered]
    assert sorted(names) == sorted(name for all in SUBJECTS.values() for name in all)
