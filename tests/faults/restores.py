"""A store comes back older than its consumers are: from a dump, or made anew."""

import subprocess
import time

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore import MessageStore, StoreError, transfer
from tests.faults.counts import Counts, Note, Rounds, check_projection, check_reader, check_writes
from tests.faults.servers import Durable
from tests.faults.traffic import Traffic
from tests.stress.messages import INSERT_EFFECT, Noted, effects, seen, stored
from tests.stress.worker import SINGLE, open_store, subscriptions

_MORE = 20


def restore(server: Durable, rounds: Rounds) -> Counts:
    """Dump a store that is in use, restore it elsewhere, and continue there."""
    copies = Counts()
    with Traffic(server.conninfo, "restore") as traffic:
        for number in rounds:
            traffic.wait_until_back()
            target = _new_database(server, f"restored_{number}")
            ahead = _copy(server, target, traffic)
            _go_on(copies, target, "restore", ahead)
            _drop_database(server, f"restored_{number}")
        traffic.wait_until_back()
        counts = traffic.finish()
    counts.noted["positions ahead refused"] = 2 * rounds.made - copies.accepted
    counts.blame(copies)
    return counts


def anew(server: Durable, rounds: Rounds) -> Counts:
    """Drop a store and make it anew under consumers that have a position in the old one."""
    counts = Counts()
    for _ in rounds:
        pgstore.install(server.conninfo, store="anew")
        with open_store(server.conninfo, "anew") as store:
            position = _write(store, 1, _MORE)
        with psycopg.connect(server.conninfo, autocommit=True) as conn:
            conn.execute("DROP SCHEMA anew CASCADE")
        pgstore.install(server.conninfo, store="anew")
        with open_store(server.conninfo, "anew") as store:
            _write(store, 2, 1)
            counts.acknowledged += _MORE + 1
            _refused(counts, store, position)
        with psycopg.connect(server.conninfo, autocommit=True) as conn:
            conn.execute("DROP SCHEMA anew CASCADE")
    counts.noted["positions ahead refused"] = 2 * rounds.made - counts.accepted
    return counts


def _copy(server: Durable, target: str, traffic: Traffic) -> int:
    """Restore the store into another database; a position that only the original has reached."""
    dump = subprocess.run(
        [server.bin / "pg_dump", "-d", server.conninfo, "--schema=restore"],
        capture_output=True,
        check=True,
    ).stdout
    traffic.wait_until_back()
    subprocess.run(
        [server.psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", target],
        input=dump,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    with psycopg.connect(server.conninfo) as conn:
        return stored(conn, "restore")[-1][0]


def _go_on(counts: Counts, conninfo: str, name: str, ahead: int) -> None:
    """Check the copy; then write to it, and have a reader and a subscription go on in it."""
    with psycopg.connect(conninfo, autocommit=True) as conn, open_store(conninfo, name) as store:
        checks = transfer.verify(conn, store=name)
        # The table of effects is none of the store's objects.
        counts.lost += sum(each.wrong for each in checks if not each.check.startswith("objects"))
        restored = stored(conn, name)
        _refused(counts, store, ahead)
        _write(store, 9, _MORE)
        written: set[Note] = {(9, number) for number in range(_MORE)}
        read = [*restored, *map(seen, store.follow(after_position=restored[-1][0], timeout=0.02))]
        there = stored(conn, name)
        check_writes(counts, written | {(writer, number) for *_, writer, number in restored}, there)
        check_reader(counts, read, there)
        _work(store, name)
        check_projection(counts, effects(conn, name, SINGLE), there)


def _work(store: MessageStore[Noted], name: str) -> None:
    """Handle what the checkpoints of the dump leave, once its leases have ended."""
    single, _ = subscriptions(store, on_failure="park")
    insert = INSERT_EFFECT.replace("{name}", name).encode()

    @single.handler
    def note(each: pgstore.StoredMessage[Noted], tx: psycopg.Connection) -> None:
        position, *rest = seen(each)
        tx.execute(insert, (SINGLE, position, *rest))

    last = max(each.global_position for each in store.read_all())
    while single.position() < last:
        if not store.run_once(single):
            time.sleep(0.02)


def _refused(counts: Counts, store: MessageStore[Noted], position: int) -> None:
    """Ask for what comes after a position that the store has not reached: an error is due."""
    for read in (store.follow(after_position=position, timeout=0.02), None):
        try:
            list(store.read_all(after_position=position) if read is None else read)
            counts.accepted += 1
        except StoreError:
            pass


def _write(store: MessageStore[Noted], writer: int, count: int) -> int:
    position = 0
    for number in range(count):
        position = store.write("right-0", Noted(writer, number)).global_position
    return position


def _new_database(server: Durable, name: str) -> str:
    with psycopg.connect(server.conninfo, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return make_conninfo(server.conninfo, dbname=name)


def _drop_database(server: Durable, name: str) -> None:
    with psycopg.connect(server.conninfo, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
