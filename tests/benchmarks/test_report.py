"""Tables, targets and plots that are made of a run's results."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from benchmarks.figures import Figure
from benchmarks.plots import Bar, bars, linear_ticks, log_ticks, number, short
from benchmarks.record import Record, Run
from benchmarks.report import PAGE, PARTS, filled, main, plots
from benchmarks.targets import Target, targets
from benchmarks.workloads import WORKLOADS


def figure(key: str, rounds: dict[str, list[float]], **more: object) -> Figure:
    made = Figure(
        key=key,
        workload=key.partition("/")[0],
        title=f"Title of {key}",
        unit="messages/s",
        better="lower" if more.get("lower") else "higher",
        rounds=rounds,
        limit="raw" if "raw" in rounds else None,
    )
    made.finish()
    return made


def run(at: str, command: str = "python -m benchmarks") -> Run:
    return Run(at=at, command=command, seconds=60.0)


@pytest.fixture
def record() -> Record:
    return Record(
        machine={"cpus": "2"},
        versions={"PostgreSQL": "18.0"},
        settings={"fsync": "on"},
        sizes={},
        runs={"writes": run("2026-11-23 15:00")},
        contenders={
            "raw": {"title": "limit", "setting": "plain", "order": None},
            "pgstore": {"title": "pgstore", "setting": "defaults", "order": "safe position"},
            "depeche": {"title": "depeche_db", "setting": "pool", "order": "aggregated"},
        },
        missing={"emmett": "installation: there is no node and npm"},
        figures=[
            figure("writes/pgbench/spread/1", {"raw": [100, 100], "pgstore": [80, 80]}),
            figure(
                "writes-slow-disk/pgbench/spread/32",
                {"raw": [100.0], "pgstore": [70.0], "depeche": [10.0]},
            ),
            figure("latency/idle/p50", {"echo": [2.0], "pgstore": [3.5]}, lower=True),
            figure("growth/writes", {"pgstore/100": [100.0], "pgstore/1000": [95.0]}),
            figure("reads/memory/10", {"pgstore": [1.0]}, lower=True),
            figure("reads/memory/100", {"pgstore": [9.0]}, lower=True),
            figure(
                "catch-up/plain",
                {"raw": [100.0], "pgstore": [60.0], "depeche": [3.0], "message-db": [30.0]},
            ),
        ],
    )


def found(record: Record, what: str, against: str) -> Target:
    (target,) = [each for each in targets(record) if (each.what, each.against) == (what, against)]
    return target


def test_a_target_is_met_missed_or_not_measured(record: Record) -> None:
    met = found(record, "Single writes, pgbench, 1 client", "INSERT")
    assert (met.value, met.met) == (0.8, True)
    missed = found(record, "The same, 1 clients, a flush takes 1 ms", "INSERT")
    assert (missed.value, missed.met) == (0.7, False)
    absent = found(record, "Batches of 1,000 from Python", "binary COPY")
    assert (absent.value, absent.met) == (None, None)


def test_targets_against_peers_variants_and_times(record: Record) -> None:
    assert (
        found(
            record, "The same, 1 clients, a flush takes 1 ms", "depeche_db, in one category"
        ).value
        == 7
    )
    assert (
        found(
            record,
            "Catch-up of a subscription, all with 1,000 at once",
            "the best peer, depeche_db",
        ).value
        == 20
    )
    assert found(record, "Writes on 1,000 messages", "100").value == 0.95
    assert found(record, "From write to handler, idle, median", "LISTEN/NOTIFY echo").met is False
    assert found(record, "Its peak memory, ten times the messages", "MB more").value == 8


def test_the_page_is_filled_between_its_markers_and_again(record: Record) -> None:
    page = "Before.\n\n<!-- writes -->\nold\n<!-- /writes -->\n\nAfter.\n"
    once = filled(page, record)
    assert "old" not in once
    assert "| **pgstore** | 80.0 | 0.8 |" in once
    assert once.startswith("Before.")
    assert once.endswith("After.\n")
    assert filled(once, record) == once


def test_a_marker_that_nothing_belongs_to_is_an_error(record: Record) -> None:
    with pytest.raises(ValueError, match="no-such-thing"):
        filled("<!-- no-such-thing -->\n<!-- /no-such-thing -->", record)


def test_a_workload_that_was_not_measured_says_so(record: Record) -> None:
    assert "Not measured" in filled("<!-- snapshot -->\n<!-- /snapshot -->", record)


def test_the_page_of_the_docs_has_a_place_for_each_workload_and_plot(record: Record) -> None:
    page = PAGE.read_text()
    for name in {*WORKLOADS, *PARTS} - {"summary"}:
        assert f"<!-- {name} -->" in page, name
    for name in plots(record):
        assert f"performance/{name}.svg" in page, name


def test_missing_contenders_are_named(record: Record) -> None:
    text = PARTS["contenders"](record)
    assert "emmett: installation: there is no node and npm" in text


def test_main_writes_the_pages_and_their_plots(record: Record, tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    record.write(results)
    assert main([str(results), "--into", str(tmp_path)]) == 0
    docs = tmp_path / "docs"
    assert "| **no** |" in (docs / "performance.md").read_text()
    assert "pgstore" in (docs / "performance" / "catch-up.svg").read_text()
    assert (
        "| Catch-up of a subscription, messages/s | **60.0** | 100 | 30.0 (message-db) |"
        in (tmp_path / "README.md").read_text()
    )


def test_a_plot_is_xml_whose_labels_are_inside() -> None:
    rows = [
        Bar("a <label> & more", 1234.0, "ours"),
        Bar("eventsourcing, no global order, 10,000,000 messages", 9, "peer"),
    ]
    tree = ElementTree.fromstring(bars("Title", "note", rows))
    width = float(tree.attrib["width"])
    name = "{http://www.w3.org/2000/svg}"
    texts = tree.findall(f".//{name}text")
    assert "a <label> & more" in [text.text for text in texts]
    for text in texts:
        length = 7.5 * len(text.text or "")
        x = float(text.attrib["x"])
        start = {"end": x - length, "middle": x - length / 2}.get(
            text.attrib.get("text-anchor", "start"), x
        )
        assert start >= 0, text.text
        assert start + length <= width, text.text


def test_axes_hold_all_values() -> None:
    for values in ([7.0], [0.3, 99.0], [12_345.0, 1.0], [0.0]):
        rows = [Bar("", value, "peer") for value in values]
        ticks = linear_ticks(rows)
        assert ticks[0] == 0
        assert ticks[-1] >= max(values)
        assert 2 <= len(ticks) <= 7
        ticks = log_ticks(rows)
        assert len(ticks) > 1
        assert all(value <= ticks[-1] for value in values)
        assert all(value >= ticks[0] for value in values if value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (12345, "12,300"), (1.234, "1.23"), (0.01234, "0.0123"), (999.6, "1,000")],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_axis_labels_are_short() -> None:
    assert [short(value) for value in (0.5, 20_000, 1_500_000)] == ["0.5", "20k", "1.5M"]


@pytest.mark.parametrize("name", ["choosing.md", "operations/production.md"])
def test_figures_that_other_pages_quote_are_those_of_the_performance_page(name: str) -> None:
    quoted = re.findall(
        r"[\d.,]*\d(?=\s(?:times|%|messages/s|bytes\sa\smessage))", (PAGE.parent / name).read_text()
    )
    assert quoted
    assert [figure for figure in quoted if figure not in PAGE.read_text()] == []
