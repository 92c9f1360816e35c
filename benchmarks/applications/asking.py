"""Run an application on a new database, and compare its answers with those that are expected."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from benchmarks.agents import ROOT
from benchmarks.applications import Application
from benchmarks.applications.check import CANNOT, FAILED, PARTS, WITHOUT_CHECKPOINTS, Step
from benchmarks.environment import CACHE, bench_python, make_node, make_venv

PATIENCE = 60
RETRY_DELAY = 1.5
"""Longer than a subscription of pgstore waits after a failure."""

REFUSAL = """
CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'this is how a transaction fails at its end';
END $$
"""
ON_INSERT = """
CREATE CONSTRAINT TRIGGER refuse_insert AFTER INSERT ON {} DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION public.refuse()
"""
ON_UPDATE = """
CREATE CONSTRAINT TRIGGER refuse_update AFTER UPDATE ON {0} DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (OLD.{1} IS DISTINCT FROM NEW.{1}) EXECUTE FUNCTION public.refuse()
"""


def differing(app: Application, conninfo: str) -> list[str]:
    """Each answer that is not the expected one, in words; none if all are."""
    database = f"app_{app.path.stem}_{uuid4().hex[:8]}"
    settings = addresses({**conninfo_to_dict(conninfo), "dbname": database})
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        try:
            for number, part in enumerate(PARTS):
                broken = number == WITHOUT_CHECKPOINTS
                with refused_checkpoints(app, settings) if broken else nullcontext():
                    if found := compared(app, settings, part):
                        return found
        finally:
            conn.execute(sql.SQL("DROP DATABASE {} (FORCE)").format(sql.Identifier(database)))
    return []


@contextmanager
def refused_checkpoints(app: Application, settings: dict[str, str]) -> Iterator[None]:
    """Have each transaction that moves a checkpoint fail at its end."""
    tables, column = app.checkpoints
    with psycopg.connect(settings["DATABASE_URL"], autocommit=True) as conn:
        conn.execute(REFUSAL)
        for table in tables:
            name = sql.SQL(table)
            conn.execute(sql.SQL(ON_INSERT).format(name))
            conn.execute(sql.SQL(ON_UPDATE).format(name, sql.Identifier(column)))
        yield
        conn.execute("DROP FUNCTION public.refuse CASCADE")
    time.sleep(RETRY_DELAY)


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
        if answer != wanted(app, question, expected)
    ]
    if found or done.returncode or len(answers) != len(part):
        found.append(f"{app.title}: it ended after {len(answers)} answers\n{done.stderr}")
    return found


def wanted(app: Application, question: list[Any], expected: object) -> object:
    """The answer of an application on this store."""
    if question[0] in app.cannot:
        return CANNOT
    return None if expected == FAILED and not app.reports_failures else expected


def command(app: Application) -> list[str]:
    """The command that starts the application; packages that it needs are installed first."""
    if app.environment == "own":
        return [sys.executable, str(app.path)]
    if app.environment == "bench":
        make_venv()
        return [str(bench_python()), str(app.path)]
    make_node()
    # Node looks for packages beside the file that imports them.
    return ["node", str(shutil.copy(app.path, CACHE / "node"))]


def addresses(words: dict[str, Any]) -> dict[str, str]:
    """The environment variables by which the applications find the database."""
    user, password = str(words.get("user", "postgres")), str(words.get("password", ""))
    host, port = str(words.get("host", "localhost")), str(words.get("port", 5432))
    account = quote(user) + (f":{quote(password)}" if password else "")
    place = f"{account}@/{words['dbname']}?host={quote(host, safe='')}&port={port}"
    return {
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": f"postgresql://{place}",
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": words["dbname"],
        "POSTGRES_HOST": host,
        "POSTGRES_PORT": port,
        "POSTGRES_USER": user,
        "POSTGRES_PASSWORD": password,
    }
