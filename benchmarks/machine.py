"""What the figures were measured on: no name, no path, nothing that tells whose machine it is."""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from pgstore import embedded


def machine() -> dict[str, str]:
    kernel = platform.release().partition("-")[0]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpus": str(os.cpu_count()),
        "processor": _processor(),
        "memory": f"{memory / 2**30:.0f} GB",
        "system": f"{platform.system()} {kernel}, {platform.machine()}",
    }


def versions() -> dict[str, str]:
    postgres = embedded.Server().bin / "postgres"
    said = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=True)
    return {
        "pgstore": version("pgstore"),
        "PostgreSQL": said.stdout.split()[-1],
        "Python": platform.python_version(),
        "psycopg": version("psycopg"),
        "msgspec": version("msgspec"),
    }


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
