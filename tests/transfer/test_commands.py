"""`pgstore export`, `import` and `verify`."""

import json
from pathlib import Path
from typing import Any

import pytest

from pgstore.__main__ import main
from tests.transfer.conftest import Place, fill


@pytest.fixture
def run(conninfo: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("PGSTORE_CONNINFO", conninfo)
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(list(arguments))
        return (code, *capsys.readouterr())

    return run


def test_export_import_and_verify(old: Place, new: Place, tmp_path: Path, run: Any) -> None:
    fill(old)
    path = str(tmp_path / "x.jsonl.gz")
    code, out, _ = run("export", path, "--store", old.name, "--json")
    assert code == 0
    said = json.loads(out)
    assert (said["messages"], said["bytes"]) == (24, Path(path).stat().st_size)
    code, out, _ = run("import", path, "--store", new.name, "--dry-run")
    assert (code, out) == (0, "24 messages of 8 streams can be imported, 0 are there already.\n")
    assert new.content() == []
    code, out, _ = run("import", path, "--store", new.name)
    assert (code, out) == (
        0,
        "Imported 24 messages with their positions, 0 were there already.\n",
    )
    assert new.content() == old.content()
    code, out, _ = run("verify", "--store", new.name, "--json")
    assert code == 0
    assert {json.loads(line)["wrong"] for line in out.splitlines()} == {0}


def test_verify_exits_with_1_if_something_is_wrong(new: Place, run: Any) -> None:
    new.write("a-1")
    new.query("UPDATE STORE.messages AS m SET version = 2")
    code, out, err = run("verify", "--store", new.name)
    assert code == 1
    assert "stream a-1: version 2 after 0" in out
    assert "1 of" in err
    assert run("verify", "--store", "no_such_store")[0] == 6


def test_refused_file_is_told_in_a_line(new: Place, tmp_path: Path, run: Any) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("{}\n")
    code, out, err = run("import", str(path), "--store", new.name)
    assert (code, out) == (1, "")
    assert err.startswith("error: line 1: ")
    code, _, err = run("import", str(tmp_path / "missing"), "--store", new.name)
    assert (code, "Traceback" in err) == (1, False)


def test_export_to_standard_output_is_only_the_file(
    old: Place, new: Place, tmp_path: Path, run: Any
) -> None:
    fill(old)
    code, out, err = run("export", "-", "--store", old.name)
    assert code == 0
    assert err.startswith("Exported 24 messages up to position ")
    (tmp_path / "x.jsonl").write_bytes(out.encode())
    assert new.take(tmp_path / "x.jsonl").imported == 24


def test_wrong_usage(new: Place, run: Any) -> None:
    assert run("export", "x", "--category", "a", "--stream", "a-1", "--store", new.name)[0] == 2
    assert run("import", "--from", "depeche", "x", "--store", new.name)[0] == 2
