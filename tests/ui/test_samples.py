"""Samples in memory: an hour, and no more."""

import asyncio
import logging

import pytest

import pgstore
from pgstore import ui
from pgstore.ui import samples, sampling
from pgstore.ui.console import Console
from pgstore.ui.samples import INTERVAL, KEPT, Figures, Place, Samples, Series
from tests.ui.conftest import Raw


def place(name: str = "a", partition: int = 0, checkpoint: int = 0, behind: int = 0) -> Place:
    return Place(name, partition, checkpoint, behind, None)


def test_series_keeps_an_hour() -> None:
    series = Series("rate")
    for number in range(KEPT + 10):
        series.add(number * INTERVAL, number)
    times = series.column("time")
    assert len(times) == KEPT
    assert times[0] == 10 * INTERVAL
    assert KEPT * INTERVAL == 3600
    assert series.column("rate", after=(KEPT + 8) * INTERVAL) == [KEPT + 9]


def test_series_has_a_gap_where_nothing_was_sampled() -> None:
    series = Series("rate")
    for moment in (0, INTERVAL, 20 * INTERVAL):
        series.add(moment, 1)
    assert series.column("rate") == [1, 1, None, 1]
    assert series.growth("rate") == (0, 20 * INTERVAL)


def test_rates_are_of_what_has_changed() -> None:
    kept = Samples()
    kept.add_store(0, Figures(100, 100, 1000, 500))
    kept.add_store(5, Figures(150, 140, 2000, 500))
    assert kept.store.column("rate") == [None, 10]
    assert kept.store.column("bytes") == [1500, 2500]
    assert kept.store.column("held_back") == [0, 10]
    assert kept.store.growth("bytes") == (1000, 5)


def test_rate_of_a_subscription_is_the_mean_of_its_partitions() -> None:
    kept = Samples()
    kept.add_places(0, [place(partition=0, checkpoint=10), place(partition=1, checkpoint=10)])
    kept.add_places(10, [place(partition=0, checkpoint=110), place(partition=1, checkpoint=10)])
    assert kept.subscriptions["a"].column("rate") == [None, 5]
    assert kept.rate("a", 0) == 10
    assert kept.rate("a", 1) == 0
    assert kept.rate("a", 2) is None


def test_subscription_that_was_rewound_has_the_rate_0() -> None:
    kept = Samples()
    kept.add_places(0, [place(checkpoint=100)])
    kept.add_places(5, [place(checkpoint=0, behind=100)])
    assert kept.subscriptions["a"].column("rate") == [None, 0]


def test_samples_of_a_dropped_subscription_are_forgotten() -> None:
    kept = Samples()
    kept.add_places(0, [place("a"), place("b")])
    kept.add_places(5, [place("b")])
    assert kept.subscriptions.keys() == {"b"}


def test_samples_of_many_subscriptions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "SUBSCRIPTIONS", 3)
    kept = Samples()
    kept.add_places(0, [place(str(number)) for number in range(5)])
    assert len(kept.subscriptions) == 3
    assert kept.left_out


def test_lag_without_messages_is_since_the_store_went_past(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = Samples()
    waits = place(checkpoint=110, behind=30)
    assert kept.seconds(waits) is None
    for moment, safe in ((0, 100), (5, 110), (10, 120), (15, 140)):
        kept.add_store(moment, Figures(safe, safe))
    monkeypatch.setattr(kept, "now", lambda: 17.0)
    assert kept.seconds(waits) == 7
    assert kept.seconds(place(checkpoint=90, behind=50)) is None  # before the first sample
    assert kept.seconds(place(checkpoint=140, behind=0)) == 0
    assert kept.seconds(place(checkpoint=141, behind=1)) == 0
    assert kept.seconds(Place("a", 0, 90, 50, 33.0)) == 33


def test_subscription_is_as_late_as_is_known_of_all_partitions() -> None:
    assert samples.latest([1.0, 3.0, 0.0]) == 3
    assert samples.latest([1.0, None]) is None
    assert samples.latest([]) is None


async def test_samples_begin_with_the_server_and_outlive_a_failure(
    store: Raw, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    taken: list[int] = []
    enough = asyncio.Event()

    async def take_sample(console: Console) -> None:
        taken.append(len(taken))
        if len(taken) < 4:
            raise pgstore.StandbyError("no horizon")
        enough.set()

    monkeypatch.setattr(sampling, "take_sample", take_sample)
    monkeypatch.setattr(samples, "INTERVAL", 0.01)
    application = ui.app(store)
    with caplog.at_level(logging.WARNING, "pgstore"):
        async with asyncio.timeout(20), application.router.lifespan_context(application):
            await enough.wait()
    assert [record.getMessage() for record in caplog.records] == [
        "the console cannot take samples now: no horizon"
    ]
    count = len(taken)
    await asyncio.sleep(0.05)
    assert len(taken) == count  # it has ended with the application
