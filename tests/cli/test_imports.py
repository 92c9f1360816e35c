"""What a command imports before it does anything: imports are most of the time that it takes."""

import subprocess
import sys

import pytest

_NO_SERVER = ["--conninfo", "host=/nonexistent"]
_IMPORTED = """
import sys
from pgstore.__main__ import main
code = main(sys.argv[1:])
print(code, *sys.modules)
"""


def imported(*arguments: str) -> tuple[int, list[str]]:
    """The exit code of a command in a process of its own, and the modules that it imported."""
    command = [sys.executable, "-c", _IMPORTED, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    code, *modules = done.stdout.splitlines()[-1].split()
    return int(code), modules


def packages(modules: list[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize("arguments", [["--help"], ["read", "--help"], ["--version"]])
def test_help_imports_nothing_that_talks_to_a_server(arguments: list[str]) -> None:
    code, modules = imported(*arguments)
    assert code == 0
    assert {"psycopg", "psycopg_pool"} & packages(modules) == set()
    assert len([name for name in modules if name.startswith("pgstore")]) < 45


@pytest.mark.parametrize(
    "arguments", [["read", "a-1"], ["stats"], ["streams"], ["subscriptions"], ["verify"]]
)
def test_command_imports_what_it_uses(arguments: list[str]) -> None:
    code, modules = imported(*arguments, *_NO_SERVER)
    assert code == 5  # no connection
    assert {"markdown_it", "pydantic", "pygments", "rich"} & packages(modules) == set()
    ours = {name for name in modules if name.startswith("pgstore")}
    assert {"pgstore._public", "pgstore._sync.store", "pgstore._async.store"} & ours == set()
    assert ("pgstore.transfer" in ours) == (arguments == ["verify"])
    assert "pgstore.cli.administration" not in ours
    assert len(ours) < 60
