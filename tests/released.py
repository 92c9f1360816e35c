"""Stores of released versions, as tests make them.

PGSTORE_TEST_UPGRADED   a released version: stores of `tests/sql` are made by it and then upgraded
"""

import os
import re
from pathlib import Path

import psycopg
from psycopg import sql

import pgstore

FOLDER = Path(__file__).parent / "migrations" / "released"


def install_released(conninfo: str, name: str, version: int) -> None:
    """Install a store as that version did."""
    with psycopg.connect(conninfo) as conn:
        conn.execute("SELECT set_config('pgstore.schema', %s, true)", [name])
        conn.execute((FOLDER / f"{version}.sql").read_bytes(), prepare=False)


def upgrade_to_released(conninfo: str, name: str, version: int) -> None:
    """Upgrade a store of an earlier version as that version did."""
    text = (FOLDER / f"{version}.sql").read_text()
    with psycopg.connect(conninfo) as conn:
        conn.execute("SELECT set_config('pgstore.schema', %s, true)", [name])
        applied = sql.SQL("SELECT number FROM {}.migrations").format(sql.Identifier(name))
        numbers = {number for (number,) in conn.execute(applied)}
        for part in re.split(r"(?m)^(?=-- (?:[a-z]+|[\w/]+)\.sql$)", text):
            found = re.match(r"-- migrations/(\d+)_", part)
            if found is None or int(found[1]) not in numbers:
                conn.execute(part.encode(), prepare=False)


def make_store(conninfo: str, name: str) -> None:
    """Install a store of this version, or upgrade one to it if the environment says so."""
    if version := os.environ.get("PGSTORE_TEST_UPGRADED"):
        install_released(conninfo, name, int(version))
    pgstore.install(conninfo, store=name)
