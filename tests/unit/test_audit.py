"""What tools/audit.py makes of pip-audit's answers; it asks nobody here."""

import subprocess
from typing import Any

import pytest

from tools import audit

SOUND: dict[str, Any] = {"name": "psycopg", "version": "3.3", "vulns": []}
FAULTY: dict[str, Any] = {
    "name": "rich",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}],
}
UNKNOWN: dict[str, Any] = {"name": "typer", "skip_reason": "Dependency not found on PyPI"}
OWN: dict[str, Any] = {"name": "pgstore", "skip_reason": "distribution marked as editable"}


@pytest.mark.parametrize(
    ("dependencies", "code", "said"),
    [
        ([SOUND, OWN], 0, "without a known fault"),
        ([SOUND, FAULTY, UNKNOWN], audit.FAULTY, "rich 1.0: PYSEC-1, mended in 1.1"),
        ([SOUND, UNKNOWN, OWN], audit.UNKNOWN, "typer"),
        ([UNKNOWN, OWN], audit.UNKNOWN, "1 packages could not be looked up: typer"),
        ([], audit.UNKNOWN, "0 packages"),
    ],
)
def test_what_was_not_looked_up_is_not_sound(
    dependencies: list[dict[str, Any]], code: int, said: str
) -> None:
    verdict = audit.judge({"dependencies": dependencies})
    assert verdict.code == code
    assert said in verdict.lines[0]


@pytest.mark.parametrize(
    "error",
    [
        subprocess.TimeoutExpired("pip", 60),
        subprocess.CalledProcessError(1, "pip"),
        OSError("no network"),
        ValueError("Could not connect to PyPI's vulnerability feed"),
    ],
)
def test_no_answer_is_no_verdict(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def report() -> dict[str, Any]:
        raise error

    monkeypatch.setattr(audit, "_report", report)
    assert audit.main() == audit.UNKNOWN
