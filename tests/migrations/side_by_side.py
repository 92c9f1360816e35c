"""Packages that are not the one under test, and what runs with them, in processes of their own."""

import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import NamedTuple

from tests.migrations.installers import environment
from tests.released import FOLDER
from tools import freeze_release

TREE = "tree"
RELEASED = sorted(path.name.partition(".")[0] for path in FOLDER.glob("*.tar.xz"))

STREAMS = 16

# What users write: only public names, which every release has.
HEAD = """
import select, sys
import msgspec, psycopg, pgstore

class Noted(msgspec.Struct):
    num: int

folder, conninfo, name, label, *rest = sys.argv[1:]
assert pgstore.__file__.startswith(folder), pgstore.__file__
"""

INSTALL = f"""{HEAD}
print(pgstore.install(conninfo, store=name))
"""

# A message a time to each stream, until its input ends; then it says how many rounds that were.
WRITE = f"""{HEAD}
rounds = 0
with pgstore.MessageStore[Noted](conninfo, store=name, messages=Noted, create=False) as store:
    while not select.select([sys.stdin], [], [], 0.02)[0]:
        for n in range({STREAMS}):
            store.write(f"account-{{n}}", Noted(rounds))
        rounds += 1
print(rounds)
"""

# Until SIGTERM. Its leases are longer than the test lasts: nobody inherits one.
WORK = f"""{HEAD}
store = pgstore.MessageStore[Noted](conninfo, store=name, messages=Noted, create=False)
subscription = store.subscription("side", category="account", partitions=8)

@subscription.handler
def note(stored: pgstore.StoredMessage[Noted], tx: psycopg.Connection) -> None:
    tx.execute(
        f"INSERT INTO noted_{{name}} (worker, stream, version) VALUES (%s, %s, %s)",
        [label, stored.stream, stored.version],
    )

with store:
    store.run(subscription, workers=2, lease=300)
"""

OPEN = f"""{HEAD}
store = pgstore.MessageStore[Noted](
    conninfo, store=name, messages=Noted, create=rest == ["create"]
)
with store:
    try:
        print(store.stream_version("account-1"))
    except pgstore.StoreTooNewError as error:
        print(error.sqlstate, error.detail['schema_version'], error.detail['known_version'])
"""


class Package(NamedTuple):
    """A folder with `pgstore` in it, and the schema version of its store."""

    folder: Path

    @property
    def schema_version(self) -> int:
        return max(int(path.name[:4]) for path in self.sql("migrations").glob("*.sql"))

    @property
    def needed_version(self) -> int:
        migrations = self.sql("migrations").glob("*.sql")
        breaking = [p for p in migrations if p.read_text().startswith("-- breaking: yes")]
        return max(int(path.name[:4]) for path in breaking)

    def sql(self, name: str) -> Path:
        return self.folder / "pgstore/sql" / name

    def start(self, program: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a program with this package; what it says is read by `ended`."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", program, str(self.folder), *arguments],
            cwd=self.folder,
            env=environment(PYTHONPATH=str(self.folder)),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )


def ended(process: subprocess.Popen[str]) -> str:
    """End its input and wait for it; what it printed. It must not have failed, nor warned."""
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, ""), errors
    return out.strip()


def package_of(name: str, folder: Path) -> Package:
    """Unpack a release, or the package of the tree, as a release of it would be frozen."""
    archive = FOLDER / f"{name}.tar.xz"
    if name == TREE:
        archive = folder.with_suffix(".tar.xz")
        with archive.open("wb") as file:
            freeze_release.write_package(freeze_release.of_tree(), file)
    with tarfile.open(archive) as tar:
        # Python 3.11 has filters from 3.11.4 on.
        tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        tar.extractall(folder)
    return Package(folder)


def next_release(package: Package, folder: Path) -> Package:
    """Copy a package and change what a minor release may: tables, and parameters at the end."""
    following = Package(Path(shutil.copytree(package.folder, folder)))
    number = package.schema_version + 1
    following.sql(f"migrations/{number:04}_next.sql").write_text(NEXT)
    (function,) = following.sql("functions").rglob("fetch_batch.sql")
    text = function.read_text()
    longer = re.sub(r"\n\)\nRETURNS", ",\n  next bigint DEFAULT 7\n)\nRETURNS", text, count=1)
    assert longer != text
    function.write_text(longer.partition("COMMENT ON")[0])
    return following


NEXT = """\
-- breaking: no
SET LOCAL lock_timeout = '3s';
CREATE TABLE next (subscription_id bigint NOT NULL);
ALTER TABLE subscriptions ADD COLUMN next bigint NOT NULL DEFAULT 7;
DO $$
BEGIN
  EXECUTE (
    SELECT 'DROP FUNCTION ' || p.oid::regprocedure
    FROM pg_proc AS p
    WHERE p.pronamespace = current_schema()::regnamespace AND p.proname = 'fetch_batch'
  );
END
$$;
"""
