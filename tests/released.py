"""Stores of released versions, as tests make them.

PGSTORE_TEST_UPGRADED   a released version: stores of `tests/sql` are made by it and then upgraded
"""

import os
from pathlib import Path

import psycopg

import pgstore

FOLDER = Path(__file__).parent / "migrations" / "released"


def install_released(conninfo: str, name: str, version: int) -> None:
    """Install a store as that version did."""
    with psycopg.connect(conninfo) as conn:
        conn.execute("SELECT set_config('pgstore.schema', %s, true)", [name])
        conn.execute((FOLDER / f"{version}.sql").read_bytes(), prepare=False)


def make_store(conninfo: str, name: str) -> None:
    """Install a store of this version, or upgrade one to it if the environment says so."""
    if version := os.environ.get("PGSTORE_TEST_UPGRADED"):
        install_released(conninfo, name, int(version))
    pgstore.install(conninfo, store=name)
