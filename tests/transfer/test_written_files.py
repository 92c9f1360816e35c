"""The file of an export: nothing is overwritten unasked, and nothing whole gives way to a part."""

import gzip
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pgstore.transfer import FileSource
from tests.cli.terminal import PROGRAM, clean
from tests.transfer.conftest import Place, fill
from tests.transfer.test_commands import run
from tests.transfer.test_killed import ROOT

__all__ = ["run"]

KILLED = """
import os, signal, sys, psycopg
from pgstore import transfer
from pgstore.transfer import exporting
conninfo, path, store = sys.argv[1:]
exporting.PAGE = 2
kill = lambda messages, position: messages > 10 and os.kill(os.getpid(), signal.SIGKILL)
with psycopg.connect(conninfo, autocommit=True) as conn:
    transfer.export_file(conn, path, store=store, overwrite=True, on_progress=kill)
"""

WAITING = """
SELECT l.pid FROM pg_locks AS l
WHERE NOT l.granted AND l.relation = 'STORE.streams'::regclass
"""


def complete(path: Path) -> int:
    """How many messages the file has, if it is whole."""
    return FileSource(path)._verified().messages


def test_file_that_is_there_is_replaced_only_with_force(old: Place, file: Path, run: Any) -> None:
    fill(old)
    file.write_text("mine")
    file.chmod(0o600)
    code, out, err = run("export", str(file), "--store", old.name)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {file}: File exists\nhint: ")
    assert "--force" in err
    assert file.read_text() == "mine"
    assert run("export", str(file), "--store", old.name, "--force")[0] == 0
    assert complete(file) == 24
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_file_that_comes_meanwhile_stays(old: Place, file: Path) -> None:
    fill(old)
    with pytest.raises(FileExistsError):
        old.export(file, overwrite=False, on_progress=lambda *_: file.write_text("theirs"))
    assert file.read_text() == "theirs"
    assert list(file.parent.iterdir()) == [file]


def test_export_that_fails_leaves_the_file_as_it_was(old: Place, file: Path) -> None:
    def fail(*_: int) -> None:
        raise RuntimeError

    fill(old)
    for before in (None, "mine"):
        if before:
            file.write_text(before)
        with pytest.raises(RuntimeError):
            old.export(file, on_progress=fail)
        assert [path.read_text() for path in file.parent.iterdir()] == [before] * bool(before)


def test_killed_export_leaves_the_file_as_it_was(old: Place, file: Path, conninfo: str) -> None:
    fill(old)
    old.export(file)
    whole = file.read_bytes()
    for _ in range(2):
        killed = subprocess.run([sys.executable, "-c", KILLED, conninfo, file, old.name], cwd=ROOT)
        assert killed.returncode == -signal.SIGKILL
        assert file.read_bytes() == whole
    parts = sorted(file.parent.glob("store.jsonl.*.part"))
    assert len(parts) == 2
    # What is left is no obstacle, and is taken for no export.
    old.write("a-1")
    old.export(file)
    assert complete(file) == 25


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_leaves_the_file_as_it_was_and_nothing_else(
    old: Place, file: Path, conninfo: str, number: signal.Signals, code: int
) -> None:
    file.write_text("mine")
    with old.conn.transaction(force_rollback=True):
        old.query("LOCK TABLE STORE.streams")  # the export stands still in its middle
        process = subprocess.Popen(
            [*PROGRAM, "export", file, "--force", "--conninfo", conninfo, "--store", old.name],
            env=clean({}),
            stderr=subprocess.PIPE,
        )
        try:
            until = time.monotonic() + 20
            while not old.query(WAITING):
                assert time.monotonic() < until
                time.sleep(0.01)
            assert len(list(file.parent.iterdir())) == 2
            process.send_signal(number)
            _, errors = process.communicate(timeout=20)
        finally:
            process.kill()
            process.communicate()
    assert errors == b""
    assert process.returncode == code
    assert list(file.parent.iterdir()) == [file]
    assert file.read_text() == "mine"


def test_link_stays_and_what_it_leads_to_is_written(old: Place, file: Path) -> None:
    fill(old)
    link = file.with_name("latest")
    link.symlink_to(file)
    old.export(link, overwrite=False)
    with pytest.raises(FileExistsError):
        old.export(link, overwrite=False)
    old.export(link)
    assert link.is_symlink()
    assert complete(file) == 24


def test_pipe_is_written_to(old: Place, new: Place, tmp_path: Path, run: Any) -> None:
    fill(old)
    pipe = tmp_path / "pipe.gz"
    os.mkfifo(pipe)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    assert run("export", str(pipe), "--store", old.name)[0] == 0
    reader.join(30)
    (tmp_path / "x.jsonl").write_bytes(gzip.decompress(found[0]))
    assert complete(tmp_path / "x.jsonl") == 24
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1", "/dev/fd/2"])
def test_standard_output_by_any_name_is_only_the_file(
    old: Place, file: Path, conninfo: str, name: str
) -> None:
    fill(old)
    file.write_bytes(b"")
    with file.open("ab") as output:
        subprocess.run(
            [*PROGRAM, "export", name, "--conninfo", conninfo, "--store", old.name],
            env=clean({}),
            check=True,
            stdout=subprocess.PIPE if name == "/dev/fd/2" else output,
            stderr=output if name == "/dev/fd/2" else subprocess.PIPE,
        )
    assert complete(file) == 24
