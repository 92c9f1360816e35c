"""Medians, ratios and percentiles of the benchmark."""

import pytest

from benchmarks.figures import Figure, divided, percentile, significant


def figure(better: str = "higher", **rounds: list[float]) -> Figure:
    assert better in ("higher", "lower")
    return Figure(
        key="writes/1",
        workload="writes",
        title="Writes",
        unit="messages/s",
        better="higher" if better == "higher" else "lower",
        rounds=rounds,
    )


def test_ratios_are_taken_round_by_round() -> None:
    # The medians are 200 and 300: their ratio would be 1.5.
    measured = figure(raw=[100, 200, 400], pgstore=[50, 300, 300])
    assert measured.times("pgstore", "raw") == 0.75


def test_a_share_is_better_when_it_is_higher_whatever_is_better() -> None:
    assert figure(raw=[10], pgstore=[5]).share("pgstore", "raw") == 0.5
    assert figure("lower", raw=[10], pgstore=[5]).share("pgstore", "raw") == 2.0


def test_a_contender_with_fewer_rounds_is_compared_in_those() -> None:
    assert figure(raw=[10, 20, 30], pgstore=[5]).times("pgstore", "raw") == 0.5


def test_the_best_is_the_highest_rate_or_the_lowest_time() -> None:
    raw, a, b = [9.0], [1.0, 5.0, 6.0], [4.0]
    assert figure(raw=raw, a=a, b=b).best(without={"raw"}) == "a"
    assert figure("lower", raw=raw, a=a, b=b).best(without={"raw"}) == "b"
    assert figure(raw=[9]).best(without={"raw"}) is None


def test_finish_fills_in_medians_and_shares_of_the_limit() -> None:
    measured = figure(raw=[100, 200], pgstore=[50.123456, 150])
    measured.finish()
    assert measured.medians == {"raw": 150, "pgstore": 100.1}
    assert measured.of_limit == {"pgstore": 0.6256}
    assert measured.rounds["pgstore"][0] == 50.12


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 2.0), (0.51, 3.0), (0.99, 4.0), (0.0, 1.0), (1.0, 4.0)]
)
def test_percentile_is_a_value_that_was_measured(share: float, expected: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], share) == expected


def test_nothing_divided_by_nothing_is_as_good() -> None:
    assert divided(0, 0) == 1
    assert divided(1, 0) == float("inf")


@pytest.mark.parametrize(("value", "expected"), [(123456, 123500), (0.00123456, 0.001235), (0, 0)])
def test_figures_have_four_digits(value: float, expected: float) -> None:
    assert significant(value) == expected
