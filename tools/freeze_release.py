"""Write a release into tests/migrations/released: <version>.sql and <version>.tar.xz.

    python tools/freeze_release.py 1 --commit <commit> --migrations 2
    python tools/freeze_release.py 2

The first is the whole store, the second the package `pgstore` with its SQL files. They come from a
commit, or from the tree as it is; with `--migrations N` only the store is written, with the first N
migrations. Run it once, when a version is released; from then on the files never change.

The SQL file runs in one transaction of psql or of any driver, after `pgstore.schema` was set to the
store's name:

    psql -1 -c "SET pgstore.schema = 'bank'" -f tests/migrations/released/1.sql
"""

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO

from pgstore._core.files import whole_file
from tools.dist import package_files

ROOT = Path(__file__).resolve().parent.parent
RELEASED = ROOT / "tests/migrations/released"
SQL = "pgstore/sql/"

Files = dict[str, str]

HEAD = """\
-- Frozen: the store of version {version}, written by tools/freeze_release.py. Never edit it.
-- To be run in one transaction, after the setting pgstore.schema was set to the store's name.
SET LOCAL client_min_messages = warning;
DO $frozen$
BEGIN
  PERFORM
    set_config('pgstore.schema', current_setting('pgstore.schema'), true),
    set_config('pgstore.manifest', $manifest${manifest}$manifest$, true);
END
$frozen$;
"""


def of_tree() -> Files:
    """The package's files as they are now, by the names that they have in an archive."""
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in package_files(ROOT)}


def of_commit(commit: str) -> Files:
    """The package's files of a commit."""
    command = ["git", "archive", "--format=tar", commit, "pgstore", "sql"]
    archive = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    files: Files = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            if (file := tar.extractfile(member)) is not None and member.isfile():
                inside = member.name.startswith("pgstore/")
                name = member.name if inside else f"pgstore/{member.name}"
                files[name] = file.read().decode()
    return files


def write_package(files: Files, target: IO[bytes]) -> None:
    """Write the package's files as a tar archive: always the same bytes for the same files."""
    # Not a wheel: one that compresses file by file is more than twice as large.
    with tarfile.open(fileobj=target, mode="w:xz", preset=9) as tar:
        for name in sorted(files):
            member, content = tarfile.TarInfo(name), files[name].encode()
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def frozen(files: Files, version: int, migrations: int | None) -> str:
    """One text that installs the SQL files, as `pgstore._core.sql_files` orders them."""
    files = {
        name.removeprefix(SQL): text
        for name, text in files.items()
        if name.startswith(SQL) and name.endswith(".sql")
    }

    def names(belongs: Callable[[PurePosixPath], bool]) -> list[str]:
        return sorted((n for n in files if belongs(PurePosixPath(n))), key=PurePosixPath)

    migrating = names(lambda path: path.parts[0] == "migrations")[:migrations]
    repeated = [
        *names(lambda path: path.name == "repeat.sql"),
        *names(lambda path: path.parts[0] == "functions"),
        *names(lambda path: path.parts[0] == "views"),
        "grants.sql",
    ]
    interface = [
        "message_db/prepare.sql",
        *names(lambda path: path.parts[:2] == ("message_db", "functions")),
        *names(lambda path: path.parts[:2] == ("message_db", "views")),
        "message_db/grants.sql",
        "message_db/grant_objects.sql",
    ]
    # The interface is no part of a store, but where it stands an upgrade brings it along.
    repeatable = "".join(files[name] for name in [*repeated, *interface] if name in files)
    entries = [(0, "functions, views and grants", repeatable)]
    for name in migrating:
        stem = PurePosixPath(name).stem
        entries.append((int(stem[:4]), stem, files[name]))
    manifest = json.dumps(
        [
            {"number": n, "name": name, "checksum": hashlib.sha256(text.encode()).hexdigest()}
            for n, name, text in entries
        ]
    )
    parts = ["prepare.sql", *migrating, *repeated, "record.sql"]
    return HEAD.format(version=version, manifest=manifest) + "".join(
        f"\n-- {name}\n{files[name]}" for name in parts
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("version", type=int, help="number of the released version")
    parser.add_argument("--commit", help="take the files of this commit; without it, of the tree")
    parser.add_argument("--migrations", type=int, help="how many migrations the version has")
    options = parser.parse_args()
    files = of_commit(options.commit) if options.commit else of_tree()
    target = RELEASED / f"{options.version}.sql"
    with whole_file(target, overwrite=False) as file:  # a release that is frozen stays so
        file.write(frozen(files, options.version, options.migrations).encode())
    print(target.relative_to(ROOT))
    if options.migrations is None:
        target = target.with_suffix(".tar.xz")
        with whole_file(target, overwrite=False) as file:
            write_package(files, file)
        print(target.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
