# Generated from tests/client/_async/test_hosts.py by `python tools/unasync.py`.

"""Connection strings with several hosts: the primary is found, whatever the others do."""

import time
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgstore import MessageStore
from pgstore._compat.events import Event
from pgstore._core.translation import passes
from pgstore._sync import racing
from pgstore._sync.racing import Hosts
from tests.client._sync.conftest import OpenStore
from tests.client.messages import EventA
from tests.client.parallel import Parallel
from tests.client.proxy import Proxy
from tests.client.waiting import Watch
from tests.conftest import Connect

Store = MessageStore[Any]

TWO = "host=a,b target_session_attrs=read-write"
THREE = "host=a,b,c target_session_attrs=read-write"


class Network:
    """Hosts that do not answer, or refuse so often; it notes the attempts with each."""

    def __init__(self, **refusals: int) -> None:
        self.refusals = refusals
        self.reasons: dict[str, str] = {}
        self.tried: list[str] = []
        self.made: list[Made] = []
        self.silent = "a"
        self.over = Event()

    def connect(self, host: str) -> Any:
        self.tried.append(host)
        if host == self.silent:
            self.over.wait(20)
        elif self.refusals[host] > 0:
            self.refusals[host] -= 1
            raise psycopg.OperationalError(self.reasons.get(host, "session is read-only"))
        self.made.append(Made(host))
        return self.made[-1]


class Made:
    def __init__(self, host: str) -> None:
        self.host = host
        self.closed = False

    def close(self) -> None:
        self.closed = True


def test_a_standby_that_is_promoted_is_found_while_another_host_is_silent() -> None:
    network = Network(b=2)
    made = Hosts(TWO).connect(network.connect)
    assert made.host == "b"
    assert sorted(network.tried) == ["a", "b", "b", "b"]
    network.over.set()


def test_a_host_that_refuses_the_role_is_not_asked_again() -> None:
    network = Network(b=9, c=2)
    network.reasons = {"b": 'FATAL: password authentication failed for user "ada"'}
    made = Hosts(THREE).connect(network.connect)
    assert made.host == "c"
    assert sorted(network.tried) == ["a", "b", "c", "c", "c"]
    network.over.set()


def test_the_last_primary_is_tried_first(monkeypatch: pytest.MonkeyPatch) -> None:
    network, hosts = Network(b=0, a=0), Hosts(TWO)
    hosts.connect(network.connect)
    monkeypatch.setattr(racing, "_AHEAD", 20)
    network.silent = "none"
    network.over.set()
    before = len(network.tried)
    assert hosts.connect(network.connect).host == "b"
    assert network.tried[before:] == ["b"]


def test_a_host_that_answers_too_late_keeps_no_connection() -> None:
    network = Network(b=0)
    made = Hosts(TWO).connect(network.connect)
    network.over.set()
    Parallel.until(lambda: all(each.closed for each in network.made if each is not made))
    assert not made.closed


def test_each_host_has_failed_when_an_attempt_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(racing, "_AHEAD", 20)
    network = Network(a=1, b=1)
    network.silent = "none"
    with pytest.raises(psycopg.OperationalError) as caught:
        Hosts(TWO).connect(network.connect)
    assert network.tried == ["a", "b"]
    assert passes(caught.value)
    assert [line.split(":")[1] for line in str(caught.value).splitlines()[1:]] == [" a", " b"]


def test_a_mistake_is_raised_as_it_is() -> None:
    def mistaken(host: str) -> Connection[Any]:
        raise TypeError(host)

    with pytest.raises(TypeError):
        Hosts(TWO).connect(mistaken)


@pytest.mark.parametrize("uri", [True, False], ids=["uri", "pairs"])
def test_a_store_writes_follows_and_runs_past_a_silent_host(
    open_store: OpenStore, conninfo: str, category: str, uri: bool
) -> None:
    given = conninfo_to_dict(conninfo)
    with Proxy.running(conninfo) as proxy, Proxy.running(conninfo) as way:
        proxy.freeze(new=True)
        ports = [conninfo_to_dict(each.conninfo)["port"] for each in (proxy, way)]
        several = make_conninfo(
            way.conninfo, host="127.0.0.1,127.0.0.1", port=",".join(map(str, ports))
        )
        if uri:
            hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
            several = f"postgresql://{given['user']}@{hosts}/{given['dbname']}?sslmode=disable"
        several = make_conninfo(several, target_session_attrs="read-write", connect_timeout=60)
        store = open_store(conninfo=several)
        handled: list[int] = []
        subscription = store.subscription(category, category=category)

        @subscription.handler
        def note(message: EventA) -> None:
            handled.append(message.num)

        with Parallel() as parallel:
            parallel.start(lambda: store.run(subscription))
            store.write(f"{category}-1", EventA(1))
            follower = store.follow(category=category)
            assert next(follower).message == EventA(1)
            Parallel.until(lambda: handled == [1])
            follower.stop()
            store.close()
            time.sleep(0)
            assert parallel.results() == [None]


def test_the_waiting_connection_asks_whether_its_server_is_the_primary_and_stays_asleep(
    open_store: OpenStore, conninfo: str, category: str, connect: Connect
) -> None:
    watch = Watch(connect(), f"store {uuid4()}")
    host = conninfo_to_dict(conninfo)["host"]
    several = make_conninfo(
        conninfo,
        host=f"{host},{host}",
        target_session_attrs="read-write",
        application_name=watch.name,
    )
    store = open_store(conninfo=several)
    follower = store.follow(category=category)
    with Parallel() as parallel:
        parallel.start(lambda: next(follower))
        Parallel.until(lambda: watch.asked_asleep() == 1)
        store.write(f"{category}-1", EventA(1))
        parallel.results()
