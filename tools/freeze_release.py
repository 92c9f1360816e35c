"""Write tests/migrations/released/<version>.sql: the whole store of a release, as one file.

    python tools/freeze_release.py 1 --commit <commit> --migrations 2
    python tools/freeze_release.py 2

The files of `sql/` come from a commit, or from the tree as it is; with `--migrations N` only the
first N migrations. Run it once, when a version is released; from then on the file never changes.

The file runs in one transaction of psql or of any driver, after `pgstore.schema` was set to the
store's name:

    psql -1 -c "SET pgstore.schema = 'bank'" -f tests/migrations/released/1.sql
"""

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from pgstore._core.files import whole_file

ROOT = Path(__file__).resolve().parent.parent
RELEASED = ROOT / "tests/migrations/released"

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
    """The SQL files as they are now, by their paths in `sql/`."""
    folder = ROOT / "sql"
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*.sql")
    }


def of_commit(commit: str) -> Files:
    """The SQL files of a commit."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=ROOT, check=True, capture_output=True, encoding="utf-8"
        ).stdout

    names = git("ls-tree", "-r", "--name-only", "--full-tree", commit, "sql/").splitlines()
    return {
        name.removeprefix("sql/"): git("show", f"{commit}:{name}")
        for name in names
        if name.endswith(".sql")
    }


def frozen(files: Files, version: int, migrations: int | None) -> str:
    """One text that installs these files, as `pgstore._core.sql_files` orders them."""

    def names(belongs: Callable[[PurePosixPath], bool]) -> list[str]:
        return sorted((n for n in files if belongs(PurePosixPath(n))), key=PurePosixPath)

    migrating = names(lambda path: path.parts[0] == "migrations")[:migrations]
    repeated = [
        *names(lambda path: path.parts[0] == "functions"),
        *names(lambda path: path.parts[0] == "views"),
        "grants.sql",
    ]
    entries = [(0, "functions, views and grants", "".join(files[name] for name in repeated))]
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
