"""Look whether an installed package has a known fault: what .venv holds, so core, extras and dev.

    python tools/audit.py

pip-audit asks PyPI; it has a folder of its own, so that it is not among what it looks at.
Exits with 0 if every package was looked up and none has a known fault, with 1 if one has, and with
75 (try again later) if the answers could not be had: that tells nothing of the packages.
"""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / ".cache" / "audit"

FAULTY = 1
UNKNOWN = 75

_TOOL = "pip-audit>=2.9,<3"
_SECONDS_TO_INSTALL = 60
_SECONDS_TO_ASK = 30


class Verdict(NamedTuple):
    """The exit code, and lines that say why."""

    code: int
    lines: list[str]


def main() -> int:
    """Audit the environment of this Python; return the exit code."""
    try:
        verdict = judge(_report())
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        verdict = Verdict(UNKNOWN, [f"no answer: {type(error).__name__}: {str(error)[:300]}"])
    print("\n".join(verdict.lines), file=sys.stderr if verdict.code else sys.stdout)
    return verdict.code


def judge(report: dict[str, Any]) -> Verdict:
    """What pip-audit's report means. What it could not look up, it has not found to be sound."""
    packages = report["dependencies"]
    faults = [
        f"{each['name']} {each['version']}: {fault['id']}, mended in"
        f" {', '.join(fault['fix_versions']) or 'no version yet'}"
        for each in packages
        for fault in each.get("vulns", [])
    ]
    unknown = [each["name"] for each in packages if "vulns" not in each and not _is_own(each)]
    if faults:
        return Verdict(FAULTY, faults)
    if unknown or not packages:
        first = ", ".join(unknown[:5]) + (" …" if len(unknown) > 5 else "")
        return Verdict(UNKNOWN, [f"{len(unknown)} packages could not be looked up: {first}"])
    return Verdict(0, [f"ok: {len(packages)} packages without a known fault"])


def _is_own(package: dict[str, Any]) -> bool:
    return bool(package["name"] == "pgstore")


def _report() -> dict[str, Any]:
    if not (PLACE / "pip_audit").exists():
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--target", str(PLACE)),
                *("--disable-pip-version-check", "--timeout=10", "--retries=1", _TOOL),
            ],
            check=True,
            timeout=_SECONDS_TO_INSTALL,
        )
    asked = subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--path", sysconfig.get_path("purelib")),
            *("--skip-editable", "--format=json", "--desc=off", "--progress-spinner=off"),
            "--timeout=10",
        ],
        env=os.environ | {"PYTHONPATH": str(PLACE)},
        capture_output=True,
        timeout=_SECONDS_TO_ASK,
    )
    if not asked.stdout:
        said = asked.stderr.decode(errors="replace").strip().splitlines()
        raise ValueError(said[-1] if said else "it said nothing")
    report: dict[str, Any] = json.loads(asked.stdout)
    return report


if __name__ == "__main__":
    sys.exit(main())
