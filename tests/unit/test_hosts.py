"""What names each of several hosts, and which errors of theirs pass."""

import psycopg
import pytest

from pgstore._core.hosts import hosts_of, no_host
from pgstore._core.translation import passes

REFUSED = psycopg.OperationalError('FATAL: role "nobody" does not exist')
DOWN = psycopg.OperationalError("Connection refused")
TWO = [{"host": "a"}, {"host": "b"}]


@pytest.mark.parametrize(
    ("conninfo", "hosts"),
    [
        ("host=a,b target_session_attrs=read-write", TWO),
        ("host=a,b target_session_attrs=primary port=6432", TWO),
        (
            "postgresql://u:p@a:1,b:2/d?target_session_attrs=read-write",
            [{"host": "a", "port": "1"}, {"host": "b", "port": "2"}],
        ),
        (
            "host=a,b hostaddr=::1,::2 target_session_attrs=read-write",
            [{"host": "a", "hostaddr": "::1"}, {"host": "b", "hostaddr": "::2"}],
        ),
        ("host=/s,/t port=1,2 target_session_attrs=any", []),
        ("host=a,b", []),
        ("host=a target_session_attrs=read-write", []),
        ("target_session_attrs=read-write", []),
        ("service=bank target_session_attrs=read-write", []),
        ("host=a,b port=1,2,3 target_session_attrs=read-write", []),
        ("host=a,b hostaddr=::1 target_session_attrs=read-write", []),
    ],
)
def test_hosts_of_which_one_is_the_primary(conninfo: str, hosts: list[dict[str, str]]) -> None:
    assert hosts_of(conninfo) == hosts


def test_what_a_pool_adds_counts() -> None:
    assert hosts_of("host=a,b", {"target_session_attrs": "read-write", "autocommit": True}) == TWO


@pytest.mark.parametrize(
    ("errors", "waits"), [((REFUSED, DOWN), True), ((DOWN, REFUSED), True), ((REFUSED,) * 2, False)]
)
def test_one_host_that_refuses_is_waited_for_if_another_can_come_back(
    errors: tuple[psycopg.Error, ...], waits: bool
) -> None:
    assert passes(no_host(TWO, errors)) is waits
    lines = [f"- host: 'h', port: '1', hostaddr: None: {each}" for each in errors]
    text = "\n".join([str(errors[-1]), "Multiple connection attempts failed. All:", *lines])
    assert passes(psycopg.OperationalError(text)) is waits  # as psycopg says it
