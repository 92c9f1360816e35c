"""A store, a table whose third row fails once, and the programs, built."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import pgstore
from tests.languages.drivers import LANGUAGES, built, is_fetched, is_here

# The handler of the third message fails the first time: a sequence is not rolled back.
_MAILS = """
CREATE TABLE mails (message_id uuid PRIMARY KEY, global_position bigint NOT NULL);
CREATE SEQUENCE attempts;
CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT a.version FROM bank.all_messages AS a WHERE a.message_id = NEW.message_id) = 3
    AND nextval('attempts') = 1
  THEN
    RAISE EXCEPTION 'the mail server does not answer';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER fail_once BEFORE INSERT ON mails FOR EACH ROW EXECUTE FUNCTION fail_once();
"""


class Database(NamedTuple):
    """A database with a store named bank, and the environment in which a program finds it."""

    conninfo: str
    environment: dict[str, str]


@pytest.fixture(scope="session")
def template(server_conninfo: str) -> Iterator[str]:
    """Name of a database to copy: to install a store takes longer."""
    with new_database(server_conninfo) as name:
        conninfo = make_conninfo(server_conninfo, dbname=name)
        pgstore.install(conninfo, store="bank")
        with psycopg.connect(conninfo) as conn:
            conn.execute(_MAILS)
        yield name


@pytest.fixture
def database(server_conninfo: str, template: str) -> Iterator[Database]:
    with new_database(server_conninfo, template) as name:
        conninfo = make_conninfo(server_conninfo, dbname=name)
        given = conninfo_to_dict(conninfo)
        # Over TCP, because not every driver knows sockets of Unix.
        yield Database(
            conninfo,
            {
                "PGHOST": "127.0.0.1",
                "PGPORT": str(given.get("port", 5432)),
                "PGUSER": str(given.get("user", "postgres")),
                "PGPASSWORD": str(given.get("password") or ""),
                "PGDATABASE": name,
                "PGSSLMODE": "disable",
            },
        )


@contextmanager
def new_database(conninfo: str, template: str = "template1") -> Iterator[str]:
    name = f"languages_{uuid4().hex}"
    with psycopg.connect(conninfo, autocommit=True) as conn:
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        conn.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
        yield name
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def builds() -> Iterator[dict[str, Future[Path]]]:
    """The folders of the languages that are here, which are all built at once."""
    here = [name for name in LANGUAGES if is_here(name)]
    with ThreadPoolExecutor(len(LANGUAGES)) as pool:
        fetched = zip(here, pool.map(is_fetched, here), strict=True)
        yield {name: pool.submit(built, name) for name, came in fetched if came}
