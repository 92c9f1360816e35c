"""Which limits the store's own connections get, and which errors pass."""

import psycopg
import pytest
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from pgstore._core.conninfo import limits
from pgstore._core.translation import is_elsewhere, is_lost_connection, passes
from pgstore.errors import StandbyError, StoreNotInstalledError, StoreTooNewError

_ALL = {
    "connect_timeout",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
}


def test_limits_are_those_that_nobody_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGCONNECT_TIMEOUT", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    assert limits("host=db").keys() == _ALL
    assert limits("postgresql://db/x?connect_timeout=60").keys() == _ALL - {"connect_timeout"}
    assert limits("", {"tcp_user_timeout": 0}).keys() == _ALL - {"tcp_user_timeout"}
    assert limits("service=there") == {}
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "60")
    assert limits("").keys() == _ALL - {"connect_timeout"}


_PASSING = [
    *("08006", "08P01", "25006", "40001", "40P01", "53100", "53200", "53300", "55006", "55P03"),
    *("57014", "57P01", "57P02", "57P03", "57P05", "58030", "58P01", "XX000"),
]


@pytest.mark.parametrize("sqlstate", _PASSING)
def test_states_of_the_server_pass(sqlstate: str) -> None:
    assert passes(psycopg.errors.lookup(sqlstate)())


@pytest.mark.parametrize(
    "sqlstate", ["28P01", "3D000", "3F000", "42501", "42883", "57P04", "22023"]
)
def test_what_somebody_has_to_change_does_not(sqlstate: str) -> None:
    assert not passes(psycopg.errors.lookup(sqlstate)())


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (psycopg.OperationalError("connection failed: FATAL:  the database is starting up"), True),
        (psycopg.OperationalError("failed to resolve host 'db': Name or service not known"), True),
        (psycopg.OperationalError('FATAL:  password authentication failed for user "a"'), False),
        (psycopg.OperationalError('FATAL:  database "a" does not exist'), False),
        (psycopg.InterfaceError("the connection is closed"), True),
        (PoolTimeout(), True),
        (TooManyRequests(), True),
        (PoolClosed(), False),
        (StandbyError(), True),
        (StoreTooNewError(), False),
        (StoreNotInstalledError(), False),
        (OSError("too many open files"), True),
        (ValueError(), False),
    ],
)
def test_errors_without_a_state(error: Exception, passing: bool) -> None:
    assert passes(error) is passing


def test_only_a_lost_connection_may_be_replaced() -> None:
    assert is_lost_connection(psycopg.OperationalError("server closed the connection"))
    assert not is_lost_connection(psycopg.OperationalError('role "a" does not exist'))
    assert not is_lost_connection(PoolTimeout())
    assert is_elsewhere(StandbyError())
    assert not is_elsewhere(psycopg.OperationalError())
