"""The pytest plugin: a server for the session, and an empty store for each test that asks for one.

pytest imports this module in every session. So it imports nothing else before a fixture is used.
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pgstore.testing import FreshStore, FreshStores

_VARIABLE = "PGSTORE_TEST_CONNINFO"

# Nothing has to survive a crash.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "synchronous_commit": "off",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    about = "connection string of the server for tests; without it an embedded one is started"
    parser.getgroup("pgstore").addoption("--pgstore-conninfo", metavar="CONNINFO", help=about)
    parser.addini("pgstore_conninfo", f"{about}, see also {_VARIABLE}")


def _given(config: pytest.Config) -> str | None:
    option: str | None = config.getoption("--pgstore-conninfo")
    return option or os.environ.get(_VARIABLE) or config.getini("pgstore_conninfo") or None


@pytest.fixture(scope="session")
def pgstore_conninfo(pytestconfig: pytest.Config) -> Iterator[str]:
    """Connection string of the session's server: override it to bring your own.

    That of the option `--pgstore-conninfo`, of the variable PGSTORE_TEST_CONNINFO or of the
    setting `pgstore_conninfo`; otherwise that of an embedded server, which ends with the session.
    """
    if given := _given(pytestconfig):
        yield given
        return
    from pgstore.embedded import EmbeddedServerError, Server

    server = Server(settings=_SETTINGS)
    try:
        server.start()
    except EmbeddedServerError as error:
        error.add_note(f"Or name a server that is there: --pgstore-conninfo, or {_VARIABLE}.")
        raise
    try:
        yield server.conninfo
    finally:
        server.stop()


@pytest.fixture(scope="session")
def pgstore_stores(pgstore_conninfo: str) -> Iterator["FreshStores"]:
    """The session's stores: a test that needs several takes them from here."""
    from pgstore.testing import FreshStores

    try:
        stores = FreshStores(pgstore_conninfo)
    except Exception as error:
        error.add_note(
            "The server of the tests is the one that --pgstore-conninfo names, or else"
            f" {_VARIABLE}, the setting pgstore_conninfo, or a fixture of that name of yours."
        )
        raise
    yield stores
    stores.close()


@pytest.fixture
def pgstore_fresh(pgstore_stores: "FreshStores") -> Iterator["FreshStore"]:
    """An empty store of the test's own."""
    with pgstore_stores.taken() as store:
        yield store


@pytest.fixture
def pgstore_frozen_ids() -> Iterator[None]:
    """Make new message ids the same in each run."""
    from pgstore.testing import frozen_ids

    with frozen_ids():
        yield
