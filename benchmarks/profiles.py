"""See where the time goes: `python -m benchmarks.profiles`.

Of writing, catching up and reading everything by pgstore's client, alone on a server: a flame graph
of the client (docs/performance/flame-*.svg), sampled by py-spy, and the server's time by statement,
counted by pg_stat_statements. Fills docs/performance/profiles.md, as `report` fills the other page.
Tracing a process takes root's rights, or those that the system gives for it.
"""

import argparse
import subprocess
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import psycopg

from benchmarks.contenders import named
from benchmarks.environment import sampler
from benchmarks.flames import Node, flame_graph, kind, shares, tree
from benchmarks.report import MARKER, ROOT
from benchmarks.server import SETTINGS
from benchmarks.tables import table_of
from benchmarks.tasks import TASKS, Place, Result
from pgstore import embedded
from pgstore._core.files import write_whole

FOLDER = ROOT / "docs" / "performance"
PAGE = FOLDER / "profiles.md"
EXTENSION = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track": "all"}
SAMPLES_A_SECOND = 500
STATEMENTS = """
SELECT regexp_replace(query, '\\s+', ' ', 'g'), toplevel, calls, total_exec_time
FROM pg_stat_statements
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND query !~ 'pg_stat_statements'
ORDER BY total_exec_time DESC LIMIT 6"""


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is looked into; `under` is the function in which its time passes."""

    title: str
    task: str
    options: dict[str, Any]
    under: str
    filled: int = 0


STORIES = {
    "writes": Story(
        title="Single writes by one client",
        task="write",
        options={"seconds": 8, "streams": 10_000},
        under="write",
    ),
    "catch-up": Story(
        title="Catch-up of a subscription, 1,000 messages at once",
        task="catch_up",
        options={"name": "profile", "expected": 1_000_000},
        under="_worker",
        filled=1_000_000,
    ),
    "reads": Story(
        title="Read and decode everything in order",
        task="read_all",
        options={},
        under="read_all",
        filled=1_000_000,
    ),
}


class Alone:
    """The number of a task's only client."""

    value = 0

    def get_lock(self) -> threading.Lock:
        return threading.Lock()


def work(task: str, conninfo: str, options: dict[str, Any]) -> Result:
    """Run a task in this process."""
    client = named("pgstore").client(conninfo)
    running = TASKS[task](client, Place(0, 1, threading.Event(), Alone()), **options)
    next(running)
    try:
        next(running)
    except StopIteration as end:
        found: Result = end.value
    client.close()
    return found


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", nargs=3, metavar=("TASK", "CONNINFO", "OPTIONS"), help="internal")
    parser.add_argument("--only", choices=STORIES, action="append")
    arguments = parser.parse_args(words)
    if arguments.work:
        task, conninfo, options = arguments.work
        work(task, conninfo, msgspec.json.decode(options))
        return 0
    parts: dict[str, str] = {}
    with embedded.Server(settings=SETTINGS | EXTENSION) as server:
        for name in arguments.only or STORIES:
            parts |= looked_into(server, name, STORIES[name])
    page = PAGE.read_text()
    write_whole(PAGE, MARKER.sub(lambda found: replaced(found, parts), page))
    return 0


def replaced(found: Any, parts: dict[str, str]) -> str:
    name = found.group(1)
    if name not in parts:
        return str(found.group(0))
    return f"<!-- {name} -->\n\n{parts[name]}\n\n<!-- /{name} -->"


def looked_into(server: embedded.Server, name: str, story: Story) -> dict[str, str]:
    """Measure a story, draw it, and give its table."""
    database = f"profile_{name.replace('-', '_')}"
    with psycopg.connect(server.conninfo, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {database}".encode())
    conninfo = psycopg.conninfo.make_conninfo(server.conninfo, dbname=database)
    named("pgstore").client(conninfo).install()
    if story.task == "write":
        work("begin_streams", conninfo, {"streams": story.options["streams"]})
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("CREATE EXTENSION pg_stat_statements")
        for part in named("pgstore").fill(story.filled) if story.filled else ():
            conn.execute(part.encode())
        conn.execute("VACUUM ANALYZE")
        conn.execute("CHECKPOINT")
        conn.execute("SELECT pg_stat_statements_reset()")
        stacks = sampled(story, conninfo)
        statements = conn.execute(STATEMENTS.encode()).fetchall()
    root = tree(stacks, under=story.under)
    note = (
        "client, wall time by function; blue: pgstore, yellow: psycopg, grey: waiting, green: other"
    )
    (FOLDER / f"flame-{name}.svg").write_text(flame_graph(story.title, note, root))
    print(f"{name}: {root.samples} samples")
    return {f"client-{name}": client_table(root), f"server-{name}": server_table(statements)}


def sampled(story: Story, conninfo: str) -> list[str]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "stacks"
        options = msgspec.json.encode(story.options).decode()
        command = [
            *(str(sampler()), "record", "--idle", "--threads", "--format", "raw"),
            *("--rate", str(SAMPLES_A_SECOND), "--output", str(path), "--"),
            *(sys.executable, "-m", "benchmarks.profiles", "--work", story.task, conninfo, options),
        ]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
        return path.read_text().splitlines()


def client_table(root: Node) -> str:
    kinds = {"ours": "pgstore", "driver": "psycopg", "wait": "waiting", "other": "other"}
    rows = [
        [f"`{name}`", kinds[kind(name)], f"{share:.0%}"]
        for name, share in list(shares(root).items())[:6]
    ]
    return table_of(["the client's time, without the functions that it calls", "of", "share"], rows)


def server_table(statements: list[Any]) -> str:
    rows = [
        [f"`{shortened(query)}`{'' if top else ' (within)'}", f"{calls:,}", f"{ms / calls:.3f}"]
        for query, top, calls, ms in statements
    ]
    return table_of(["the server's time, by statement", "calls", "ms a call"], rows)


def shortened(query: str, most: int = 90) -> str:
    words = " ".join(query.split()).replace("|", "¦").replace("`", "'")
    return words if len(words) <= most else f"{words[: most - 1]}…"


if __name__ == "__main__":
    sys.exit(main())
