"""Where reads go that are sent to a standby: wrong addresses, and several."""

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgstore import (
    InvalidArgumentError,
    MessageStore,
    StandbyError,
    StoreNotInstalledError,
    install,
)
from pgstore._sync import standby
from pgstore.embedded import Server
from tests.standbys import pair


class Noted(msgspec.Struct):
    number: int


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    with pair() as both:
        yield both


@pytest.fixture
def name() -> str:
    return f"store_{time.monotonic_ns()}"


@pytest.mark.parametrize(
    "wrong", ["host=a b", "postgresql://ada@db:port", "postgresql+asyncpg://db", 7, object()]
)
def test_an_error_about_the_standbys_address_names_the_argument(wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^read_conninfo: ") as caught:
        MessageStore[Noted]("", read_conninfo=wrong, messages=Noted)
    assert "ada" not in str(caught.value)


@pytest.mark.parametrize("create", [True, False])
def test_nothing_is_installed_where_reads_go(
    servers: tuple[Server, Server], name: str, create: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty store in a wrong database would answer every read with nothing."""
    monkeypatch.setattr(standby, "PATIENCE", 0.2)
    wrong = make_conninfo(servers[0].conninfo, dbname="template1")
    install(servers[0].conninfo, store=name)
    with MessageStore[Noted](
        servers[0].conninfo, read_conninfo=wrong, messages=Noted, store=name, create=create
    ) as store:
        store.write("note-1", Noted(1))
        with pytest.raises(StoreNotInstalledError) as caught:
            list(store.read_all())
    assert ("read_conninfo" in str(caught.value)) == create


def test_reads_prefer_a_standby_and_fall_back_to_the_primary(
    servers: tuple[Server, Server], name: str
) -> None:
    """With `prefer-standby`; where there is no standby the primary answers."""
    primary, there = servers
    several = _either(primary.conninfo, there.conninfo, "prefer-standby")
    nowhere = _either(primary.conninfo, "host=/nowhere", "prefer-standby")
    with (
        MessageStore[Noted](
            primary.conninfo, read_conninfo=nowhere, messages=Noted, store=name
        ) as alone,
        MessageStore[Noted](
            primary.conninfo, read_conninfo=several, messages=Noted, store=name
        ) as store,
    ):
        alone.write("note-1", Noted(1))
        assert [each.message for each in alone.read_all()] == [Noted(1)]  # nothing was published
        with pytest.raises(StandbyError):
            list(store.read_all())


def _either(one: str, other: str, attributes: str) -> str:
    hosts = [str(conninfo_to_dict(each)["host"]) for each in (one, other)]
    return make_conninfo(
        one, host=",".join(hosts), port="5432,5432", target_session_attrs=attributes
    )
