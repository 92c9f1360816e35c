"""The Python package's public names."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pgstore

ROOT = Path(__file__).resolve().parent.parent.parent


def test_public_names_are_sorted_and_there() -> None:
    assert list(pgstore.__all__) == sorted(set(pgstore.__all__))
    assert [name for name in pgstore.__all__ if not hasattr(pgstore, name)] == []


def test_no_other_name_is_public() -> None:
    names = {
        name
        for name, value in vars(pgstore).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert names - set(pgstore.__all__) == set()


def test_every_public_name_is_documented() -> None:
    page = (ROOT / "docs/reference/python.md").read_text()
    assert [name for name in pgstore.__all__ if f"`{name}" not in page] == []


def test_sync_twins_are_up_to_date() -> None:
    command = [sys.executable, "tools/unasync.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
