"""A relay between two stores of a directory, both of which move while it runs."""

import threading
from collections.abc import Iterator
from uuid import UUID

import msgspec
import psycopg
import pytest

import pgstore
from pgstore.embedded import Server
from pgstore.transfer import Move
from tests.embedded.moving import rows, until

_SETTINGS = {
    "wal_level": "logical",
    "fsync": "off",
    "max_sync_workers_per_subscription": "8",
    "max_logical_replication_workers": "12",
    "max_worker_processes": "20",
    "max_replication_slots": "20",
    "max_wal_senders": "20",
}


class Placed(msgspec.Struct):
    number: int


class Invoiced(msgspec.Struct):
    number: int
    placed: UUID

    def get_message_id(self) -> UUID:
        return self.placed


@pytest.fixture
def servers() -> Iterator[tuple[str, str]]:
    with Server(settings=_SETTINGS) as one, Server(settings=_SETTINGS) as other:
        yield one.conninfo, other.conninfo


def test_relay_delivers_each_message_once_though_both_stores_move(
    servers: tuple[str, str],
) -> None:
    one, other = servers
    directory = pgstore.Directory(one)
    directory.install()
    for store, place in (("orders", one), ("billing", other)):
        pgstore.install(place, store=store)
        directory.put(store, place)
    orders = directory.store("orders", messages=Placed)
    billing = directory.store("billing", messages=Invoiced)
    relay = orders.subscription("billing", partitions=2, max_attempts=1)

    @relay.handler
    def invoice(stored: pgstore.StoredMessage[Placed]) -> None:
        number = stored.message.number
        billing.write(f"invoice-{number % 7}", Invoiced(number, stored.message_id))

    written: list[int] = []
    ended = threading.Event()

    def write() -> None:
        while not ended.wait(0.005):
            orders.write(f"order-{len(written) % 7}", Placed(len(written)))
            written.append(len(written))

    def invoiced() -> int:
        return sum(1 for _ in billing.read_all())

    threads = [
        threading.Thread(target=write),
        threading.Thread(target=lambda: orders.run(relay, workers=2, signals=False)),
    ]
    with orders, billing:
        for thread in threads:
            thread.start()
        try:
            for store, source, target in (("orders", one, other), ("billing", other, one)):
                before = invoiced()
                until(lambda n=before: invoiced() > n + 20)  # type: ignore[misc]
                with Move(source, target, store=store, directory=directory) as move:
                    move.run()
            before = invoiced()
            until(lambda: invoiced() > before + 20)
        finally:
            ended.set()
            threads[0].join()
        until(lambda: invoiced() >= len(written))
        orders.stop()
        threads[1].join()
        found = [each.message.number for each in billing.read_all()]
        assert sorted(found) == written
        # The order of each stream is the one of the orders.
        for stream in range(7):
            numbers = [each.message.number for each in billing.read(f"invoice-{stream}")]
            assert numbers == sorted(numbers)
        assert [each.error for each in relay.partitions()] == [None, None]
    with psycopg.connect(one) as conn, pytest.raises(pgstore.StoreMovedError):
        conn.execute("SELECT orders.last_position()")
    assert rows(one, "SELECT count(*) FROM billing.messages") == [(len(written),)]
