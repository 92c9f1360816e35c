"""docs/reference/cli.md: every command is there, and prints what the page says."""

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pgstore.cli import app
from tests.cli.terminal import run
from tools import cli_reference as reference


@pytest.fixture
def database(dsn: str) -> Iterator[str]:
    """A database for the page, and its role dropped afterwards."""
    name = f"cli_{uuid4().hex}"
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield make_conninfo(dsn, dbname=name)
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


@pytest.mark.parametrize("command", [[], ["write"], ["read"], ["parked"], ["retention", "set"]])
def test_help_fits_80_columns_and_shows_examples(command: list[str]) -> None:
    done = run(*command, "--help", env={"COLUMNS": "80"})
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "[[" not in done.stdout
    if command == ["write"]:  # paragraphs are filled, examples keep their lines
        assert re.search(r"begins +\n with a minus", done.stdout)
    if command not in ([], ["parked"]):
        assert f"pgstore {' '.join(command)} " in done.stdout
