"""Run an application on a new database, and compare its answers with those that are expected."""

import json
import os
import shutil
import subprocess
import sys
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from benchmarks.agents import ROOT
from benchmarks.applications import Application
from benchmarks.applications.check import CANNOT, PARTS, Step
from benchmarks.environment import CACHE, bench_python, make_node, make_venv

PATIENCE = 60


def differing(app: Application, conninfo: str) -> list[str]:
    """Each answer that is not the expected one, in words; none if all are."""
    database = f"app_{app.path.stem}"
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
    words = conninfo_to_dict(conninfo)
    settings = addresses(str(words["host"]), str(words["port"]), str(words["user"]), database)
    for part in PARTS:
        if found := compared(app, settings, part):
            return found
    return []


def compared(app: Application, settings: dict[str, str], part: list[Step]) -> list[str]:
    asked = "".join(f"{json.dumps(question)}\n" for question, _ in part)
    try:
        done = subprocess.run(
            command(app),
            input=asked,
            env=os.environ | settings,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired as late:
        return [f"{app.title}: no end after {PATIENCE} s\n{late.stderr!r}"]
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    found = [
        f"{app.title}: {question}: {answer}, not {expected}"
        for (question, expected), answer in zip(part, answers, strict=False)
        if answer != (CANNOT if question[0] in app.cannot else expected)
    ]
    if done.returncode or len(answers) != len(part):
        found.append(f"{app.title}: it ended after {len(answers)} answers\n{done.stderr}")
    return found


def command(app: Application) -> list[str]:
    """How to start the application; what it runs in is made if it is not there."""
    if app.environment == "own":
        return [sys.executable, str(app.path)]
    if app.environment == "bench":
        make_venv()
        return [str(bench_python()), str(app.path)]
    make_node()
    # Node looks for packages beside the file that imports them.
    return ["node", str(shutil.copy(app.path, CACHE / "node"))]


def addresses(host: str, port: str, user: str, database: str) -> dict[str, str]:
    """Where the database is, in the settings that the stores read."""
    place = f"{user}@/{database}?host={quote(host, safe='')}&port={port}"
    return {
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": f"postgresql://{place}",
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": database,
        "POSTGRES_HOST": host,
        "POSTGRES_PORT": port,
        "POSTGRES_USER": user,
        "POSTGRES_PASSWORD": "",
    }
