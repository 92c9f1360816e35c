"""The commands in the pages about export, import and verify print what the pages say."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore.__main__ import main

PAGES = Path(__file__).parents[2] / "docs" / "operations"
BLOCK = re.compile(r"```console\n(.*?)```(?:\n+```text\n(.*?)```)?", re.DOTALL)

MESSAGE_DB = """
CREATE SCHEMA message_store;
CREATE TABLE message_store.messages (
  global_position bigserial NOT NULL, position bigint NOT NULL, time timestamp DEFAULT now(),
  stream_name text NOT NULL, type text NOT NULL, data jsonb, metadata jsonb,
  id uuid NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO message_store.messages (position, stream_name, type, data)
VALUES (0, 'account-1', 'A', '{}'), (1, 'account-1', 'A', '{}'), (0, 'account-2', 'A', '{}');
"""
DEPECHE = """
CREATE TABLE depeche_msgs_bank (
  message_id uuid DEFAULT gen_random_uuid(), global_position serial, added_at timestamp
  DEFAULT now(), stream varchar, version integer, message jsonb
);
INSERT INTO depeche_msgs_bank (version, stream, message)
SELECT version, stream, '{"__typename__": "A"}'
FROM (VALUES (1, 'account-1'), (2, 'account-1'), (1, 'account-2')) AS v (version, stream);
"""


@pytest.fixture
def make_database(server_conninfo: str) -> Iterator[Callable[[], str]]:
    """Create a database; the connection string."""
    made: list[sql.Identifier] = []
    with psycopg.connect(server_conninfo, autocommit=True) as conn:

        def make() -> str:
            name = f"pages_{uuid4().hex}"
            made.append(sql.Identifier(name))
            conn.execute(sql.SQL("CREATE DATABASE {}").format(made[-1]))
            return make_conninfo(server_conninfo, dbname=name)

        yield make
        for name in made:
            conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def page_id(page: Path) -> str:
    return page.stem


@pytest.mark.parametrize(
    "page",
    [
        PAGES / f"{name}.md"
        for name in (
            "export-import",
            "verify",
            "migrate-from-message-db",
            "migrate-from-depeche",
            "old-history",
        )
    ],
    ids=page_id,
)
def test_commands_print_what_the_page_says(
    page: Path,
    make_database: Callable[[], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    conninfo, other = make_database(), make_database()
    pgstore.install(conninfo)
    with psycopg.connect(other) as conn:
        conn.execute(MESSAGE_DB)
        conn.execute(DEPECHE)
    monkeypatch.setenv("PGSTORE_CONNINFO", conninfo)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall(page.read_text())
    assert blocks
    for commands, output in blocks:
        for command in commands.splitlines():
            words = shlex.split(re.sub(r"postgresql://\S+", shlex.quote(other), command))
            assert words.pop(0) == "pgstore"
            file = words.pop() if ">" in words else None
            if file is not None:
                words.pop()
            capsys.readouterr()
            code = main(words)
            out, err = capsys.readouterr()
            assert code == 0, f"{command}\n{err}"
            if file is not None:
                assert {json.loads(line)["wrong"] for line in out.splitlines()} == {0}
        if output:
            pattern = ".*?".join(re.escape(part) for part in _uniform(output).split("…"))
            assert re.fullmatch(pattern, _uniform(out), re.DOTALL), f"{command}\n{out}"


def _uniform(text: str) -> str:
    return " ".join(text.split())
