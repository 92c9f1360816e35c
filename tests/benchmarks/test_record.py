"""Records of several runs that are merged."""

from pathlib import Path

import msgspec
import pytest

from benchmarks.__main__ import command, parsed
from benchmarks.figures import Figure
from benchmarks.record import Record, Run
from benchmarks.workloads import BY_SIZE, ON_REQUEST, WORKLOADS


def record(*workloads: str, value: float = 1, **more: dict[str, str]) -> Record:
    figures = [
        Figure(
            key=f"{name}/1",
            workload=name,
            title="",
            unit="messages/s",
            better="higher",
            rounds={"raw": [value]},
        )
        for name in workloads
    ]
    return Record(
        machine=more.get("machine", {"cpus": "2"}),
        versions=more.get("versions", {"pgstore": "0.1.0"}),
        settings={"fsync": "on"},
        sizes={},
        runs={
            name: Run(at=f"2026-11-23 15:0{value:g}", command="python -m benchmarks", seconds=60)
            for name in workloads
        },
        contenders={},
        missing=more.get("missing", {}),
        figures=figures,
    )


def test_a_workload_that_is_measured_again_replaces_the_earlier_one() -> None:
    earlier = record("writes", "reads", missing={"reads/depeche": "hung", "emmett": "no npm"})
    found = record("reads", "order", value=2).into(earlier)
    assert {each.key: each.rounds["raw"] for each in found.figures} == {
        "writes/1": [1],
        "reads/1": [2],
        "order/1": [2],
    }
    assert {name: run.at[-1] for name, run in found.runs.items()} == {
        "writes": "1",
        "reads": "2",
        "order": "2",
    }
    assert found.missing == {"emmett": "no npm"}


def test_a_contender_that_used_nothing_can_be_written_and_read(tmp_path: Path) -> None:
    found = record("reads")
    memory = msgspec.structs.replace(
        found.figures[0], better="lower", rounds={"raw": [1.4], "pgstore": [0.0], "peer": [2.8]}
    )
    memory.finish()
    msgspec.structs.replace(found, figures=[memory]).write(tmp_path / "last.json")
    (figure,) = Record.read(tmp_path / "last.json").figures
    assert figure.of_limit == {"peer": 0.5}


def test_what_was_measured_elsewhere_is_not_merged() -> None:
    with pytest.raises(ValueError, match="machine"):
        record("reads").into(record("writes", machine={"cpus": "4"}))
    with pytest.raises(ValueError, match="pgstore"):
        record("reads").into(record("writes", versions={"pgstore": "0.2.0"}))


def test_versions_of_those_who_were_not_there_are_kept() -> None:
    earlier = record("writes", versions={"pgstore": "0.1.0", "node": "20"})
    assert record("reads").into(earlier).versions == {"pgstore": "0.1.0", "node": "20"}


def test_the_command_is_told_without_where_its_results_went() -> None:
    words = ["--only", "reads", "--into", "x/full.json", "--out=y"]
    assert command(words) == "python -m benchmarks --only reads"


def test_the_charts_by_size_have_a_run_and_a_file_of_their_own() -> None:
    assert not {*BY_SIZE} & {*parsed([]).only}
    assert tuple(parsed(["--growth"]).only) == BY_SIZE
    assert parsed(["--growth"]).out.name == "growth.json"
    assert parsed(["--quick"]).only == list(WORKLOADS)


def test_stores_of_millions_are_measured_on_request_only() -> None:
    assert not {*ON_REQUEST} & {*parsed([]).only, *parsed(["--growth"]).only}
    chosen = parsed(["--history"])
    assert (tuple(chosen.only), chosen.contenders) == (ON_REQUEST, ["pgstore"])
    assert chosen.out.name == "history.json"


def test_only_a_run_of_everything_goes_to_the_results_that_the_docs_show() -> None:
    assert parsed([]).out.name == parsed(["--rounds", "1"]).out.name == "full.json"
    for words in (["--quick"], ["--only", "reads"], ["--contenders", "raw,pgstore"]):
        assert parsed(words).out.name == "last.json"
