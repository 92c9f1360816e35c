"""The peers' own environments, made when they are first needed: .cache/bench/venv and node."""

import importlib.metadata
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.agents import ROOT, TaskFailed
from benchmarks.contenders.contract import Contender

CACHE = ROOT / ".cache" / "bench"
PYTHON_PACKAGES = (
    "depeche_db==0.13.1",
    "sqlalchemy<2.1",
    "sniffio",
    "pydantic>=2",
    "eventsourcing[postgres]==9.5.*",
    "pgmq==1.1.4",
    "procrastinate==3.10.0",
)
"""Beside them the same psycopg and msgspec that pgstore runs with."""
SAMPLER = "py-spy==0.4.*"
UMADB = "umadb==0.7.8"
"""A client and a server, as a binary: not for every system."""
NODE_PACKAGES = ("@event-driven-io/emmett-postgresql@0.42.0", "@eventide/message-db@1.3.1", "pg")

INSTALLATION_PATIENCE = 120


class Environments:
    """Where each contender's clients run; an environment that cannot be had fails its peers."""

    def __init__(self) -> None:
        self._failed: dict[str, str] = {}
        self._ready: set[str] = set()

    def command(self, contender: Contender) -> list[str]:
        """How to start the contender's agent, without the connection string."""
        self.prepare(contender)
        if contender.environment == "node":
            return ["node", str(Path(__file__).parent / "contenders" / f"{contender.name}.mjs")]
        python = sys.executable if contender.environment == "own" else str(bench_python())
        return [python, "-m", "benchmarks.agent", contender.name]

    def prepare(self, contender: Contender) -> None:
        """Make what the contender needs."""
        for each in contender.needs:
            self.make(each)

    def make(self, name: str) -> None:
        """Make an environment, or install what is optional; TaskFailed if that does not work."""
        if name in self._ready:
            return
        if name not in self._failed:
            start = time.monotonic()
            try:
                {"bench": make_venv, "node": make_node, "umadb": make_umadb}[name]()
            except (OSError, subprocess.SubprocessError) as error:
                # Only here: it may name hosts and paths, which do not belong into results.
                print(getattr(error, "stderr", None) or error, file=sys.stderr)
                self._failed[name] = "its packages could not be installed"
            else:
                self._ready.add(name)
                if (took := time.monotonic() - start) > 1:
                    print(f"made {name} for the peers in {took:.0f} s", flush=True)
                return
        raise TaskFailed(self._failed[name])

    def versions(self) -> dict[str, str]:
        """Versions of what was installed, by package."""
        found: dict[str, str] = {}
        if "bench" in self._ready:
            listed = _run(bench_python(), "-m", "pip", "list", "--format=json")
            wanted = {"depeche-db", "eventsourcing", "sqlalchemy", "pgmq", "procrastinate"}
            wanted |= self._ready & {"umadb"}
            for each in json.loads(listed):
                if (name := each["name"].lower().replace("_", "-")) in wanted:
                    found[name] = each["version"]
            code = "from pgmq.install import get_embedded_sql_version as v; print(v())"
            found["pgmq's SQL"] = _run(bench_python(), "-c", code).strip()
        if "node" in self._ready:
            for name in ("@event-driven-io/emmett-postgresql", "@eventide/message-db"):
                package = CACHE / "node" / "node_modules" / name / "package.json"
                found[name] = json.loads(package.read_text())["version"]
            found["node"] = _run(Path("node"), "--version").strip().lstrip("v")
        return found


def bench_python() -> Path:
    return CACHE / "venv" / "bin" / "python"


def make_venv() -> None:
    """Make the Python environment of the peers; nothing if it is there."""
    same = [
        f"{name}=={importlib.metadata.version(name)}"
        for name in ("psycopg", "psycopg-pool", "msgspec")
    ]
    same[0] = same[0].replace("psycopg", "psycopg[binary]")
    packages = [*PYTHON_PACKAGES, *same]
    if not _is_made("venv", packages):
        folder = CACHE / "venv"
        shutil.rmtree(folder, ignore_errors=True)
        _run(Path(sys.executable), "-m", "venv", str(folder))
        pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries=1")
        _run(bench_python(), *pip, *packages)
        _note("venv", packages)


def sampler() -> Path:
    """Have py-spy in the peers' environment."""
    make_venv()
    program = CACHE / "venv" / "bin" / "py-spy"
    if not program.exists():
        _run(bench_python(), "-m", "pip", "install", "--quiet", SAMPLER)
    return program


def make_umadb() -> None:
    """Have UmaDB in the peers' environment."""
    make_venv()
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries=1")
    _run(bench_python(), *pip, "--only-binary=:all:", "--no-deps", UMADB)


def make_node() -> None:
    """Install the Node packages of the peers; nothing if they are there."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise OSError("there is no node and npm")
    if not _is_made("node", list(NODE_PACKAGES)):
        folder = CACHE / "node"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "package.json").write_text('{"private": true}\n')
        npm = ("install", "--loglevel=error", "--no-audit", "--no-fund", "--fetch-retries=1")
        _run(Path("npm"), *npm, "--prefix", str(folder), *NODE_PACKAGES)
        _note("node", list(NODE_PACKAGES))


def _is_made(name: str, packages: list[str]) -> bool:
    """Tell whether this environment was made of these packages; the note is written at the end."""
    note = CACHE / name / ".packages"
    return note.exists() and note.read_text().split() == [sys.version.split()[0], *packages]


def _note(name: str, packages: list[str]) -> None:
    (CACHE / name / ".packages").write_text("\n".join([sys.version.split()[0], *packages]))


def _run(program: Path, *arguments: str) -> str:
    done = subprocess.run(
        [str(program), *arguments],
        capture_output=True,
        text=True,
        timeout=INSTALLATION_PATIENCE,
        check=True,
    )
    return done.stdout
