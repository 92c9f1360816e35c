"""Build the sdist and the wheel into dist/, and check that they can be released.

    python tools/dist.py --quick    # what is in them, and what PyPI says of their description
    python tools/dist.py            # also installs them: `make dist`

The long form installs both archives, and runs the demo from the wheel: on each Python from 3.11
on that this machine has, with the oldest dependencies that pyproject.toml allows and with the
newest. It says which Python is missing. Tools and environments are kept in .cache/dist. Exits with
75 (try again later) if the tools cannot be had from PyPI.
"""

import argparse
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "dist"
CACHE = ROOT / ".cache" / "dist"
BIN = CACHE / "tools" / "bin"
TOOLS = ["twine>=6.1", "uv>=0.8"]
SECONDS = 600
UNKNOWN = 75

MINORS = range(11, 15)
PYTHON = "import sys; print('%s.%s' % sys.version_info[:2], sys.executable)"

# uv's words for the oldest and the newest releases that the requirements allow.
RESOLUTIONS = {"oldest": "lowest-direct", "newest": "highest"}

# In an environment that has only the archive and its dependencies: no extra.
ALONE = """
import importlib.resources, json, pgstore
from pgstore._core import sql_files
assert importlib.resources.files("pgstore").joinpath("py.typed").is_file()
print(json.dumps({str(n): c for n, c in sql_files.checksums().items()}, sort_keys=True))
"""

# With the extra pydantic: the store looks at the class when it is made, before it connects. The
# server writes a float of 1e18 as an integer, which pydantic 2.11 does not read.
PYDANTIC = """
import pgstore, pydantic
class Deposited(pydantic.BaseModel):
    amount: float
pgstore.MessageStore[Deposited]("host=localhost", store="bank", messages=Deposited).close()
assert Deposited.model_validate_json('{"amount": 1000000000000000000}').amount == 1e18
"""

# With the extra otel: its names are those of the oldest and of the newest release.
OTEL = """
import pgstore, pgstore.otel
store = pgstore.MessageStore("host=localhost", store="bank", messages=pgstore.RawMessage)
pgstore.otel.instrument(store)
store.close()
"""


# With the extra ui: its templates and files are in the wheel.
UI = """
import importlib.resources, pgstore, pgstore.ui
store = pgstore.AsyncMessageStore("host=localhost", store="bank", messages=pgstore.RawMessage)
pgstore.ui.app(store)
here = importlib.resources.files("pgstore.ui")
for name in ("templates/base.html", "static/console.css", "static/vendor/htmx.min.js"):
    assert here.joinpath(name).is_file(), name
"""


class DistError(Exception):
    """What is wrong with an archive."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="install nothing")
    quick = parser.parse_args().quick
    try:
        sdist, wheel = build(OUT, *(["--no-isolation"] if quick else []))
        get_tools()
        run(BIN / "twine", "check", "--strict", sdist, wheel)
        say("twine: the description is one that PyPI shows")
        if not quick:
            install_everywhere(sdist, wheel)
    except DistError as error:
        sys.exit(f"error: {error}")
    return 0


def say(text: str) -> None:
    print(f"ok: {text}", flush=True)


def run(*command: object) -> str:
    """Run a program in an empty folder, so that it sees nothing of the tree; its output."""
    empty = CACHE / "empty"
    empty.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [str(word) for word in command],
        cwd=empty,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )
    if done.returncode != 0:
        raise DistError(f"{' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


def get_tools() -> None:
    """Install twine and uv into an environment of their own, the first time."""
    if (BIN / "uv").exists():
        return
    try:
        run(sys.executable, "-m", "venv", BIN.parent)
        run(BIN / "python", "-m", "pip", "install", "--disable-pip-version-check", *TOOLS)
    except (DistError, subprocess.TimeoutExpired) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(UNKNOWN)


def build(out: Path, *options: str) -> tuple[Path, Path]:
    """Build the sdist, and the wheel from it; check what is in them."""
    shutil.rmtree(out, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", out, *options, ROOT)
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    for archive in (sdist, wheel):
        differences = list(differences_of(archive, ROOT))
        if differences:
            raise DistError(f"{archive.name}: {'; '.join(differences)}")
        say(f"{archive.name}, {archive.stat().st_size // 1000} kB, has every file of the package")
    return sdist, wheel


def differences_of(archive: Path, root: Path) -> Iterator[str]:
    """What an archive lacks of the tree's package, and what the package there has too much."""
    wanted = package_files(root)
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    else:
        with tarfile.open(archive) as sdist:
            files = [each.name.partition("/")[2] for each in sdist if each.isfile()]
        found = {name for name in files if name.startswith(("pgstore/", "sql/"))}
        wanted |= {name.removeprefix("pgstore/") for name in wanted if "/sql/" in name}
        wanted |= {name for name in ("LICENSE", "README.md", "pyproject.toml") if name not in files}
    yield from (f"{name} is missing" for name in sorted(wanted - found))
    yield from (f"{name} is not of the tree" for name in sorted(found - wanted))


def package_files(root: Path) -> set[str]:
    """The names that the package's files have in an archive, its SQL files among them."""
    return {
        prefix + path.relative_to(folder).as_posix()
        for prefix, folder in (("pgstore/", root / "pgstore"), ("pgstore/sql/", root / "sql"))
        for path in folder.rglob("*")  # which does not enter links, such as pgstore/sql
        if path.is_file() and "__pycache__" not in path.parts
    }


def pythons() -> dict[str, str]:
    """The Pythons that this machine has: path by version. Names that do not start are none."""
    found: dict[str, str] = {}
    for version in (f"3.{minor}" for minor in MINORS):
        managed: list[str | Path] = [
            BIN / "uv",
            "python",
            "find",
            "--no-project",
            "--no-python-downloads",
            version,
        ]
        candidates = [[f"python{version}"], *of_pyenv(version)]
        with_uv = subprocess.run(managed, capture_output=True, text=True, check=False)
        candidates += [[line] for line in with_uv.stdout.splitlines()]
        for candidate in candidates:
            if (path := answer(candidate, version)) is not None:
                found[version] = path
                break
    return found


def of_pyenv(version: str) -> list[list[str]]:
    places = (Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python{version}")
    return [[str(place)] for place in sorted(places)]


def answer(command: list[str], version: str) -> str | None:
    """The path of the interpreter that a command starts, if it is one of that version."""
    try:
        done = subprocess.run([*command, "-c", PYTHON], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    is_version, _, path = done.stdout.strip().partition(" ")
    return path if is_version == version else None


def install_everywhere(sdist: Path, wheel: Path) -> None:
    found = pythons()
    for archive in (wheel, sdist):
        install_alone(archive, sys.executable)
    for version, python in found.items():
        for name, resolution in RESOLUTIONS.items():
            tell_the_story(wheel, version, python, name, resolution)
    missing = [f"3.{minor}" for minor in MINORS if f"3.{minor}" not in found]
    if missing:
        print(f"missing here: Python {', '.join(missing)}")


def fresh(name: str, python: str, *packages: object) -> Path:
    """Make an environment with these packages, and no other; its Python."""
    place = CACHE / name
    run(BIN / "uv", "venv", "--quiet", "--clear", "--python", python, place)
    inside = place / "bin/python"
    run(BIN / "uv", "pip", "install", "--quiet", "--python", inside, *packages)
    return inside


def install_alone(archive: Path, python: str) -> None:
    inside = fresh("alone", python, f"pgstore[binary] @ {archive.as_uri()}")
    checksums = run(inside, "-I", "-c", ALONE)
    if checksums != run(
        sys.executable, "-c", f"import sys; sys.path[:0] = [{str(ROOT)!r}]\n" + ALONE
    ):
        raise DistError(f"{archive.name}: its SQL files are not those of the tree")
    say(f"{archive.name} installs alone, with the SQL files of the tree")


def tell_the_story(wheel: Path, version: str, python: str, name: str, resolution: str) -> None:
    """Run the demo from the wheel, and what else of the extras runs without a server."""
    began = time.monotonic()
    extras = f"pgstore[cli,embedded,otel,pydantic,ui] @ {wheel.as_uri()}"
    # Named here too: only what is named counts as direct.
    options = ["--resolution", resolution, extras, *requirements()]
    inside = fresh(f"{version}-{name}", python, *options)
    run(inside, "-I", "-W", "error", "-c", PYDANTIC)
    run(inside, "-I", "-W", "error", "-c", OTEL)
    run(inside, "-I", "-W", "error", "-c", UI)
    run(inside.parent / "pgstore", "--help")
    if project()["version"] not in run(inside.parent / "pgstore", "--version"):
        raise DistError(f"{wheel.name}: pgstore --version does not say {project()['version']}")
    run(inside.parent / "pgstore", "demo")
    frozen = run(BIN / "uv", "pip", "freeze", "--quiet", "--python", inside).splitlines()
    direct = {word.partition(">=")[0].partition("[")[0] for word in requirements()}
    held = [line for line in frozen if line.partition("==")[0] in direct]
    took = time.monotonic() - began
    say(f"Python {version}, {name}: demo in {took:.0f} s with {' '.join(held)}")


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def requirements() -> list[str]:
    extras: dict[str, list[str]] = project()["optional-dependencies"]
    return [*project()["dependencies"], *(each for words in extras.values() for each in words)]


if __name__ == "__main__":
    sys.exit(main())
