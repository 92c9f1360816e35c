"""The only reasons for which a test may be skipped."""

from typing import NoReturn

import pytest

from tests.languages.drivers import LANGUAGES, why_not

ALLOWED = {
    "browser": "a browser is not asked for, or not here: see make test-ui",
    "message_db": "npm cannot get @eventide/message-db",
    "message_db_py": "pip cannot get message-db-py 0.3.5",
    "depeche_db": "pip cannot get depeche-db 0.13.1",
    "other_version": "no other version of PostgreSQL is named: see make test-versions",
    "nats": "there is no program nats-server here (Debian: nats-server)",
    "mount": "only root may mount the small file system that is filled",
    "patroni": "Patroni is not asked for, or not here: see make test-patroni",
    "pgbouncer": "there is no program pgbouncer here (Debian: pgbouncer)",
    "plpgsql_check": (
        "no server here has the extension plpgsql_check (Debian: postgresql-15-plpgsql-check)"
    ),
}


def skip(name: str) -> NoReturn:
    # Looked for when asked: to start each runtime takes a second.
    pytest.skip(why_not(name) if name in LANGUAGES else ALLOWED[name])
