"""Rounds, and peers that fail or hang."""

import sys
from pathlib import Path

import pytest

from benchmarks.agents import Agent, TaskFailed, TimedOut
from benchmarks.bench import Bench, how_long, rate_of, shuffled
from benchmarks.contenders import CLASSES
from benchmarks.environment import Environments
from benchmarks.sizes import FULL


@pytest.fixture
def bench() -> Bench:
    made = Bench(FULL, ["raw", "pgstore", "depeche"], Environments())
    made.begin("writes")
    return made


def fails() -> float:
    raise TaskFailed("it fell over")


def hangs() -> float:
    raise TimedOut("no answer")


def test_each_round_has_an_order_of_its_own_and_all_rounds_every_contender(bench: Bench) -> None:
    asked: list[str] = []

    def one(name: str) -> float:
        asked.append(name)
        return 1.0

    names = list(CLASSES)
    work = {name: lambda name=name: one(name) for name in names}
    figure = bench.measure("writes/x", "Title", "messages/s", work)
    orders = [tuple(asked[n : n + len(names)]) for n in range(0, len(asked), len(names))]
    assert len(set(orders)) == len(orders) == FULL.rounds
    assert all(sorted(order) == sorted(names) for order in orders)
    assert list(figure.rounds) == names


def test_the_load_of_the_machine_is_noted_when_each_round_begins(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = iter([(0.34, 0, 0), (1.5, 0, 0), (2.0, 0, 0)])
    monkeypatch.setattr("os.getloadavg", lambda: next(loads))
    figure = bench.measure("writes/x", "Title", "messages/s", {"raw": lambda: 1.0}, rounds=3)
    assert figure.loads == [0.3, 1.5, 2.0]


def test_the_order_of_a_round_is_the_same_in_every_run() -> None:
    assert shuffled(list("abcdef"), "x 1") == shuffled(list("abcdef"), "x 1")


def test_a_peer_that_fails_is_noted_and_the_run_goes_on(bench: Bench) -> None:
    work = {"raw": lambda: 1.0, "depeche": fails}
    figure = bench.measure("writes/x", "Title", "messages/s", work)
    assert figure.notes == {"depeche": "failed: it fell over"}
    assert figure.medians == {"raw": 1.0}
    again = bench.measure("writes/y", "Title", "messages/s", {"depeche": lambda: 2.0})
    assert again.medians == {"depeche": 2.0}


def test_a_peer_that_hangs_is_left_out_of_the_workload_only(bench: Bench) -> None:
    bench.measure("writes/x", "Title", "messages/s", {"depeche/10": hangs})
    figure = bench.measure("writes/y", "Title", "messages/s", {"depeche": lambda: 2.0})
    assert figure.notes == {"depeche": "failed: no answer"}
    bench.begin("reads")
    figure = bench.measure("reads/x", "Title", "messages/s", {"depeche": lambda: 2.0})
    assert figure.medians == {"depeche": 2.0}


def test_pgstore_has_to_be_measured(bench: Bench) -> None:
    with pytest.raises(TaskFailed):
        bench.measure("writes/x", "Title", "messages/s", {"pgstore": fails})


def test_a_process_that_never_answers_is_ended(tmp_path: Path) -> None:
    program = tmp_path / "hangs.py"
    program.write_text("import time\ntime.sleep(60)\n")
    with (
        pytest.raises(TimedOut, match=r"no answer in 0 s"),
        Agent("peer", [sys.executable, str(program)], "conninfo", patience=0.2) as agent,
    ):
        agent.run("write")


def test_a_process_that_dies_is_told_from_one_that_hangs(tmp_path: Path) -> None:
    program = tmp_path / "dies.py"
    program.write_text("raise SystemExit('its last words')\n")
    with (
        pytest.raises(TaskFailed, match="its last words") as failed,
        Agent("peer", [sys.executable, str(program)], "conninfo") as agent,
    ):
        agent.run("write")
    assert not isinstance(failed.value, TimedOut)


def test_less_than_a_second_is_counted_in_transactions() -> None:
    assert how_long(2, 0.2) == ("-t", "50")
    assert how_long(32, 2) == ("-T", "3", "-P", "1")


def test_what_pgbench_did_before_its_first_report_does_not_count() -> None:
    told = "number of transactions actually processed: 2500\ntps = 833.3333 (without ...)\n"
    # 3 seconds: 500 transactions in the first one, 1,000 in each of the others.
    assert rate_of(told, "progress: 1.0 s, 500.0 tps, lat 1 ms") == pytest.approx(1000, rel=1e-3)
    assert rate_of(told, "") == 833.3333
    assert rate_of("", "pgbench: error: no") is None
