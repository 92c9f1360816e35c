"""The measurement of tags and conditional appends: in a small run, and its tables."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from benchmarks.agents import ROOT, TaskFailed
from benchmarks.conditions import __main__ as conditions
from benchmarks.conditions import filling
from benchmarks.conditions.tables import (
    TITLES,
    conditions_tables,
    heading,
    key_of,
    pair_key,
)
from benchmarks.conditions.ways import PLACES, STREAMS, Ways, Work, query_of
from benchmarks.figures import Figure
from benchmarks.record import Record, Run
from benchmarks.server import Server

SMALL = conditions.Sizes(messages=(40,), clients=(1, 2), rounds=1, pairs=1, seconds=0.02, ways=())


class Nothing:
    """Environments of a machine that can have none."""

    def make(self, name: str) -> None:
        raise TaskFailed(f"no {name}")

    def versions(self) -> dict[str, str]:
        return {}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(shared_buffers="32MB") as server:
        yield server


def test_a_small_run_measures_every_way_of_ours(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conditions, "Server", lambda: Kept(server))
    record = conditions.measure(SMALL, ROOT, Nothing(), "command")  # type: ignore[arg-type]
    assert record.missing == {"eventsourcing": "no bench", "umadb": "no umadb"}
    one, many = (record.figure(key_of(40, clients)) for clients in (1, 2))
    assert one is not None
    assert many is not None
    ours = {way for way in TITLES if "/" not in way}
    assert set(one.rounds) == ours - {"compete"}
    assert set(many.rounds) == ours
    pairs = record.figure(pair_key(40, 2))
    assert pairs is not None
    assert set(pairs.rounds) == {"before", "untagged"}
    assert all(name in conditions_tables(record) for name in ("`write_if`", "no umadb"))


class Kept:
    """A server that goes on when the run is over."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def __enter__(self) -> Server:
        return self.server

    def __exit__(self, *_: object) -> None: ...


def test_a_filled_store_is_as_if_its_messages_had_been_written(server: Server) -> None:
    address = filling.new_database(server, STREAMS, None)
    filling.fill(address, STREAMS, None)
    with psycopg.connect(address, autocommit=True) as conn:
        found = conn.execute("SELECT check_name, wrong FROM pgstore.verify_store() WHERE wrong > 0")
        assert found.fetchall() == []
        query = query_of("course:7")
        tagged = conn.execute("SELECT count(*) FROM pgstore.read_tagged(%s)", (query,))
        assert tagged.fetchone() == (10 + 1,)
        assert filling.wrong(address, "pgstore", STREAMS, 0) is None
        assert filling.wrong(address, "pgstore", STREAMS, 1) == "0 stored of 1 written"
        assert filling.wrong(address, "raw", STREAMS, 0) is None
    filling.drop(server, address)


def test_a_tag_with_more_messages_than_places_is_noted(server: Server) -> None:
    address = filling.new_database(server, 20, None)
    filling.fill(address, 20, None)
    with psycopg.connect(address, autocommit=True) as conn:
        for _ in range(PLACES + 1):
            conn.execute("SELECT pgstore.write_message('a-1', 'T', '1', tags => '{course:1-0}')")
    problem = filling.wrong(address, "pgstore", 20, PLACES + 1)
    assert problem == f"1 tags have more than {PLACES} messages"
    filling.drop(server, address)


def test_a_peer_that_fails_is_noted_and_left_out(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conditions, "bench_python", lambda: Path(sys.executable))
    address = filling.new_database(server, 20, None)
    filling.fill(address, 20, None)
    peers = {"umadb": "http://127.0.0.1:9"}
    measured = conditions.Measuring(SMALL, address, peers, before=False)
    try:
        assert measured.rate("umadb/tag", 1) is None
        assert "No module named 'umadb'" in measured.missing["umadb"]
        assert measured.rate("umadb/tag", 1) is None
        assert measured.peers == {}
        assert measured.rate("tag", 1)
        with pytest.raises(TaskFailed):
            measured.rate("unknown", 1)
    finally:
        measured.close()
    filling.drop(server, address)


class Fake(Ways):
    """Appends to a dictionary; another client is as fast as `others` says."""

    def __init__(self) -> None:
        super().__init__(0, 1)
        self.stored: dict[str, int] = {}
        self.others = 0

    def read(self, tag: str) -> tuple[int, Any]:
        found = self.stored.get(tag, 0)
        return found, found

    def append_if(self, tag: str, token: Any) -> bool:
        if self.others:
            self.others -= 1
            self.stored[tag] = self.stored.get(tag, 0) + 1
        if self.stored.get(tag, 0) != token:
            return False
        self.stored[tag] = token + 1
        return True

    def all(self) -> dict[str, Work]:
        raise NotImplementedError

    def close(self) -> None: ...


def test_clients_compete_for_the_places_of_a_tag_then_for_those_of_the_next() -> None:
    fake = Fake()
    fake.begin("7", 1)
    fake.others = 2
    tried = [fake.compete() for _ in range(2 * PLACES)]
    assert tried.count(False) == 3  # refused twice, and once the places were taken
    assert fake.refused == 2
    assert fake.stored["course:7-0"] == PLACES
    assert set(fake.stored) == {"course:7-0", "course:7-1"}


def test_a_decision_is_refused_only_if_another_client_decides_the_same() -> None:
    fake = Fake()
    for _ in range(2 * PLACES + 1):
        fake.decide()
    assert sorted(fake.stored.values()) == [1, PLACES, PLACES]
    fake.others = 1
    with pytest.raises(AssertionError):
        fake.decide()


def figure(key: str, rounds: dict[str, list[float]]) -> Figure:
    made = Figure(
        key=key, workload="conditions", title=key, unit="a second", better="higher", rounds=rounds
    )
    made.finish()
    return made


def test_the_tables_show_shares_of_rounds_and_whether_all_reach_the_target() -> None:
    record = Record(
        machine={},
        versions={"PostgreSQL": "18.0"},
        settings={},
        sizes={},
        runs={"conditions": Run(at="2026-11-23 15:00", command="command", seconds=120.0)},
        contenders={},
        missing={"umadb": "its packages could not be installed"},
        figures=[
            figure(key_of(1000, 1), {"untagged": [100, 200], "before": [300, 300], "tag": [90.0]}),
            figure(pair_key(1000, 1), {"untagged": [99.0], "before": [100.0]}),
            figure(key_of(1000, 32), {"untagged": [100.0], "tag": [70.0], "umadb/tag": [35.0]}),
        ],
    )
    text = conditions_tables(record)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    rows = {tuple(cells[:2]): cells[2:] for cells in lines}
    assert rows["Untagged writes", "before tags"] == ["≥ 0.98", "0.99", "", "yes"]
    assert rows["Writes with 1 tag", "untagged"] == ["≥ 0.8", "0.90", "0.70", "**no**"]
    assert rows["Appends with 1 tag", "UmaDB"] == ["", "", "2.00", ""]
    assert "| UmaDB: append, 1 tag |  | 35.0 |" in text
    assert "- umadb: its packages could not be installed" in text
    assert heading(record.figures[0]) == "1,000 messages, 1 client"


def test_the_command_is_noted_without_paths() -> None:
    words = ["--before", "/home/somebody/earlier", "--rounds", "2", "--out", "/tmp/there.json"]
    noted = conditions.command(words)
    assert noted == "python -m benchmarks.conditions --before EARLIER --rounds 2"
