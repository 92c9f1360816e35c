"""The real message stores that are imported from, and their clients, kept in .cache/peers."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.skips import skip

CACHE = Path(__file__).parents[2] / ".cache" / "peers"

MESSAGE_DB = "@eventide/message-db@1.3.1"
MESSAGE_DB_PY = ["message-db-py==0.3.5", "psycopg2-binary>=2.9.11,<3"]
DEPECHE = ["depeche_db==0.13.1", "sqlalchemy<2.1", "sniffio", "pydantic>=2", "psycopg[binary]"]


def _keep(made: Path, place: Path) -> None:
    """Move a download to its place: one that was interrupted is never taken for complete."""
    try:
        made.rename(place)
    except OSError:
        if not place.exists():  # otherwise another process of the tests has just moved its own
            raise


def message_db_scripts() -> Path:
    """The folder of Message DB's SQL files; downloaded the first time."""
    place = CACHE / "message-db-1.3.1"
    if not place.exists():
        if shutil.which("npm") is None:
            skip("message_db")
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            packed = subprocess.run(
                ["npm", "pack", "--silent", MESSAGE_DB],
                cwd=folder, capture_output=True, text=True, timeout=120,
            )  # fmt: skip
            if packed.returncode != 0:
                skip("message_db")
            archive = packed.stdout.split()[-1]
            subprocess.run(["tar", "--no-same-owner", "-xzf", archive], cwd=folder, check=True)
            _keep(Path(folder) / "package", place)
    return place / "database"


def message_db_py() -> Path:
    """A folder with the packages of a client of Message DB; downloaded the first time."""
    place = CACHE / f"message-db-py-0.3.5-{sys.version_info[0]}.{sys.version_info[1]}"
    if not place.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            made = Path(folder) / "packages"
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--retries=1"]
            # Its psycopg2 would be built from source.
            installed = subprocess.run(
                [*pip, "--no-deps", "--only-binary=:all:", "--target", made, *MESSAGE_DB_PY],
                capture_output=True, text=True, timeout=120,
            )  # fmt: skip
            if installed.returncode != 0:
                skip("message_db_py")
            _keep(made, place)
    return place


def depeche_python() -> Path:
    """A Python that has depeche_db; made the first time."""
    place = CACHE / "depeche-0.13.1"
    if not (place / "complete").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        installed = subprocess.run(
            [place / "bin" / "pip", "install", "--quiet", *DEPECHE],
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        if installed.returncode != 0:
            skip("depeche_db")
        (place / "complete").touch()
    return place / "bin" / "python"
