"""Tables, targets and plots that are made of a run's results."""

import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from benchmarks.charts import plots
from benchmarks.compare import before_and_after
from benchmarks.figures import Figure
from benchmarks.plots import Bar, Line, bars, lines, number, short
from benchmarks.record import Record, Run
from benchmarks.report import PAGE, PARTS, filled, main
from benchmarks.targets import Target, targets
from benchmarks.workloads import WORKLOADS

NOTHING_ELSE = [f"--{name}=none.json" for name in ("growth", "history", "before")]


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
            figure("writers/pgbench", {"raw/1": [10_000.0], "raw/64": [50_000.0]}),
            figure("growth/client", {"pgstore/10000": [5_000.0], "pgstore/100000": [4_000.0]}),
            figure(
                "writes/pgbench/spread/1",
                {"raw": [100, 100], "pgstore": [80, 80], "floor": [90, 90]},
            ),
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
    assert (met.value, met.floor, met.met) == (0.8, 0.9, True)
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
    assert found(record, "From write to handler, idle, median", "LISTEN/NOTIFY echo").met is True
    assert found(record, "Its peak memory, ten times the messages", "MB more").value == 8


def test_a_floor_is_what_the_limit_reaches_against_the_same_store(record: Record) -> None:
    what, against = (
        "Catch-up of a subscription, all with 1,000 at once",
        "the best peer, depeche_db",
    )
    assert found(record, what, against).floor == pytest.approx(100 / 3)
    assert found(record, "Catch-up of a subscription", "plain paged read").floor is None


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
    elsewhere = {"choosing", "applications", "one-server"}
    elsewhere |= {"history-rates", "history-bytes", "history-upkeep"}
    for name in {*WORKLOADS, *PARTS, "targets", "before-after"} - elsewhere:
        assert f"<!-- {name} -->" in page, name
    page = filled(page, record)
    assert sorted(re.findall(r"\(performance/([\w-]+)\.svg\)", page)) == sorted(plots(record))


def test_one_server_has_the_fewest_and_the_most_messages(record: Record) -> None:
    assert PARTS["one-server"](record).splitlines() == [
        "|  | 100 messages | 100,000 messages |",
        "| --- | ---: | ---: |",
        "| Title of growth/client, messages/s |  | 4,000 |",
        "| Title of growth/writes, messages/s | 100 |  |",
    ]


def test_missing_contenders_are_named(record: Record) -> None:
    text = PARTS["contenders"](record)
    assert "emmett: installation: there is no node and npm" in text


def test_main_writes_the_pages_and_their_plots(record: Record, tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    record.write(results)
    assert main([str(results), *NOTHING_ELSE, "--into", str(tmp_path)]) == 0
    docs = tmp_path / "docs"
    assert "| **no** |" in (docs / "performance.md").read_text()
    assert "pgstore" in (docs / "performance" / "catch-up.svg").read_text()
    assert (
        "| Catch-up of a subscription, messages/s | **60.0** | 100 | 30.0 (message-db) |"
        in (tmp_path / "README.md").read_text()
    )


def test_runs_are_compared_in_figures_that_measured_the_same(record: Record) -> None:
    before = msgspec.structs.replace(record, figures=list(record.figures))
    for number_, other in enumerate(before.figures):
        if other.key == "writes/pgbench/spread/1":
            before.figures[number_] = figure(other.key, {"raw": [50.0], "pgstore": [20.0]})
        if other.key == "catch-up/plain":
            before.figures[number_] = msgspec.structs.replace(other, title="of other sizes")
    text = before_and_after(before, record)
    row = (
        "| Title of writes/pgbench/spread/1, messages/s | 20.0 | 0.400 | 80.0 | **0.800** | 2.00 |"
    )
    assert row in text
    assert "catch-up" not in text
    targets_of_both = filled("<!-- targets -->\n<!-- /targets -->", record, before)
    row = "| Single writes, pgbench, 1 client | INSERT | ≥ 0.7 | 0.400 | 0.800 | 0.900 | yes |"
    assert row in targets_of_both
    assert text.endswith("Before: 2026-11-23. After: 2026-11-23.")


def test_loads_are_told_by_workload(record: Record) -> None:
    record.figures[0] = msgspec.structs.replace(record.figures[0], loads=[1.0, 4.0, 2.0])
    record.runs["writers"] = run("2026-11-23 16:00")
    assert "| writers | 3 | 1.0 | 2.0 | 4.0 |" in PARTS["loads"](record)


def test_charts_by_size_show_microseconds_a_message(record: Record) -> None:
    drawn = plots(record)
    assert "limit: 20.0" in drawn["cost-by-writers"]
    assert "pgstore, write, 1 client: 250" in drawn["cost-by-messages"]


def test_a_figure_that_falls_in_a_large_store_is_marked(record: Record) -> None:
    steady = {"pgstore/1000": [100.0, 50.0], "pgstore/3000": [90.0, 45.0]}
    falls = {"pgstore/1000": [100.0], "pgstore/3000": [80.0], "pgstore/9000": [95.0]}
    record.figures += [
        figure("history/client", steady),
        figure("history/reads-any", falls),
        figure("history/table", {"pgstore/1000": [280.0], "pgstore/9000": [281.0]}, lower=True),
        figure("history/vacuum", {"pgstore/1000": [0.1], "pgstore/9000": [0.2]}, lower=True),
    ]
    record.runs["history"] = run("2026-11-28 16:00", "python -m benchmarks --history")
    rates = PARTS["history"](record)
    assert "| Title of history/client, messages/s | 75.0 | 67.5 |  | 0.90 |" in rates
    assert "| Title of history/reads-any, messages/s | 100 | 80.0 | 95.0 | **0.80** |" in rates
    assert "(performance/history.svg)" in rates
    assert "`python -m benchmarks --history`, 2026-11-28 16:00, 1 minutes." in rates
    assert "read any stream: 0.95" in plots(record)["history"]
    assert "| Title of history/table | 280 | 281 |" in PARTS["history-bytes"](record)
    assert "| Title of history/vacuum | 0.100 | 0.200 |" in PARTS["history-upkeep"](record)


ROWS = [
    Bar("a <label> & more", 1234.0, "ours"),
    Bar("eventsourcing, no global order, 10,000,000 messages", 9, "peer"),
    Bar("none", 0, "limit"),
]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("log", [False, True])
def test_a_plot_is_xml_whose_labels_are_inside(log: bool) -> None:
    tree = ElementTree.fromstring(bars("Title", "note", ROWS, log=log))
    width = float(tree.attrib["width"])
    texts = {text.text: text for text in tree.iter(f"{SVG}text")}
    assert {"Title", "note", "1,230", "9.00", "0", *(row.label for row in ROWS)} <= texts.keys()
    for said, text in texts.items():
        length = 7 * len(said or "")
        x = float(text.attrib.get("x") or text.attrib["transform"].split("(")[1].split()[0])
        anchor = text.attrib.get("style", "").partition("text-anchor: ")[2].partition(";")[0]
        start = x - {"end": length, "middle": length / 2}.get(anchor, 0)
        assert start >= 0, said
        assert start + length <= width, said


def test_a_plot_is_drawn_the_same_each_time() -> None:
    assert bars("Title", "note", ROWS) == bars("Title", "note", ROWS)


def test_a_dark_page_has_another_colour_for_each() -> None:
    text = bars("Title", "note", ROWS)
    style = text.partition("<style>")[2].partition("</style>")[0]
    drawn = set(re.findall("(?:fill|stroke): #[0-9a-f]{6}", text.replace(style, "")))
    assert drawn == set(re.findall(r'\[style\*="(.*?)"\]', style))


def test_the_names_of_lines_are_inside_and_do_not_cover_one_another() -> None:
    names = [f"a line of some store with a long name, {n}" for n in range(6)]
    rows = [Line(name, "peer", [(1, 100), (64, 20 + n / 100)]) for n, name in enumerate(names)]
    tree = ElementTree.fromstring(lines("Title", "note", rows))
    texts = [text for text in tree.iter(f"{SVG}text") if (text.text or "").startswith("a line")]
    heights = sorted(float(text.attrib["y"]) for text in texts)
    assert len(heights) == len(names)
    assert all(b - a >= 11 for a, b in pairwise(heights))
    ends = [float(text.attrib["x"]) + 7 * len(text.text or "") for text in texts]
    assert max(ends) <= float(tree.attrib["width"])


def test_a_plot_of_nothing_but_zeros_is_drawn() -> None:
    for log in (False, True):
        ElementTree.fromstring(bars("Title", "note", [Bar("none", 0, "peer")], log=log))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (12345, "12,300"),
        (1.234, "1.23"),
        (0.01234, "0.0123"),
        (999.6, "1,000"),
        (float("inf"), "∞"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_axis_labels_are_short() -> None:
    assert [short(value) for value in (0.5, 20_000, 1_500_000)] == ["0.5", "20k", "1.5M"]


def test_the_bytes_that_the_page_on_production_quotes_are_those_of_the_performance_page() -> None:
    text = (PAGE.parent / "operations" / "production.md").read_text()
    quoted = re.findall(r"(\d+) in the (?:table|indexes)", text)
    assert len(quoted) == 2
    assert [figure for figure in quoted if f"| {figure} |" not in PAGE.read_text()] == []


def test_the_figures_in_which_a_peer_is_ahead_are_named(record: Record) -> None:
    record.figures.append(figure("reads/stream", {"pgstore": [100.0], "depeche": [150.0]}))
    assert PARTS["ahead"](record).splitlines()[2:] == [
        "| Title of reads/stream | depeche_db (1.50 times as good) |"
    ]
