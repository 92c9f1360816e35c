"""Bring the console's front-end libraries from the npm registry.

    python tools/vendor.py            # writes pgstore/ui/static/vendor/ anew
    python tools/vendor.py --check    # compares it with the registry; writes nothing
    python tools/vendor.py --tests    # brings what the console's tests use into .cache/ui/

A package is taken only if it has the checksum that stands here, which is npm's own `integrity`.
To take another version, change its version and its checksum below. `npm` is needed. A convention
test compares the files with `vendor.json`, so a file that was changed by hand is found without npm.
"""

import argparse
import base64
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "pgstore" / "ui" / "static" / "vendor"
OF_TESTS = ROOT / ".cache" / "ui"
RECORD = "vendor.json"


class Library(NamedTuple):
    """A package of npm, and which of its files are taken under which names."""

    package: str
    version: str
    licence: str
    integrity: str
    files: dict[str, str]


LIBRARIES = [
    Library(
        "htmx.org",
        "2.0.11",
        "0BSD",
        "sha512-Thx/WtpeOQqSrqBCw/A1cwGJGg4UrVa3+sW0GmrM3p4gJgO89ecH4qtbnyzDDWFvBTqjnIMCgELTNt636dtamA==",
        {"dist/htmx.min.js": "htmx.min.js", "LICENSE": "htmx.LICENSE"},
    ),
    Library(
        "uplot",
        "1.6.32",
        "MIT",
        "sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
        {
            "dist/uPlot.iife.min.js": "uplot.min.js",
            "dist/uPlot.min.css": "uplot.min.css",
            "LICENSE": "uplot.LICENSE",
        },
    ),
]

# Looks for what keeps people from using a page; its licence would weigh on a wheel.
TEST_LIBRARIES = [
    Library(
        "axe-core",
        "4.14.1",
        "MPL-2.0",
        "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
        {"axe.min.js": "axe.min.js", "LICENSE": "axe.LICENSE"},
    )
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--tests", action="store_true", help="bring the tests' library")
    options = parser.parse_args()
    if options.tests:
        write(OF_TESTS, files_of(TEST_LIBRARIES))
    elif options.check:
        found = {path.name: path.read_bytes() for path in PLACE.iterdir()}
        if found != files_of(LIBRARIES):
            sys.exit(f"{PLACE.relative_to(ROOT)} is out of date: run tools/vendor.py")
    else:
        write(PLACE, files_of(LIBRARIES))


def write(place: Path, files: dict[str, bytes]) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for name, content in files.items():
        (place / name).write_bytes(content)
        print(f"{place.relative_to(ROOT)}/{name}: {len(content)} bytes")


def files_of(libraries: list[Library]) -> dict[str, bytes]:
    """The libraries' files by their names, and the record of them."""
    files: dict[str, bytes] = {}
    record = []
    for library in libraries:
        taken = taken_from(archive_of(library), library)
        files |= taken
        record.append(
            {
                "package": library.package,
                "version": library.version,
                "licence": library.licence,
                "integrity": library.integrity,
                "sha256": {name: hashlib.sha256(each).hexdigest() for name, each in taken.items()},
            }
        )
    files[RECORD] = (json.dumps(record, indent=2) + "\n").encode()
    return files


def archive_of(library: Library) -> bytes:
    """The package's archive; the registry's answer is not trusted."""
    if shutil.which("npm") is None:
        sys.exit("npm is needed to ask its registry")
    name = f"{library.package}@{library.version}"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["npm", "pack", "--silent", name], cwd=folder, stdout=subprocess.PIPE, check=False
        )
        found = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(found) != 1:
            sys.exit(f"npm cannot get {name}")
        archive = found[0].read_bytes()
    digest = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if f"sha512-{digest}" != library.integrity:
        sys.exit(f"{name} has another checksum than tools/vendor.py: sha512-{digest}")
    return archive


def taken_from(archive: bytes, library: Library) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as packed:
        taken = {}
        for inside, name in library.files.items():
            member = packed.extractfile(f"package/{inside}")
            assert member is not None
            taken[name] = member.read()
    return taken


if __name__ == "__main__":
    main()
