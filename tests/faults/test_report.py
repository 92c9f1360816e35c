"""The page of results, and the file that it is made of."""

from tests.faults import report
from tests.faults.catalogue import FAULTS
from tests.faults.counts import WRONG, Counts


def test_page_says_what_the_file_says() -> None:
    page = report.PAGE.read_text()
    assert report.filled(page, report.read()) == page


def test_every_fault_has_been_tried() -> None:
    results = report.read()
    assert list(results) == list(FAULTS)
    for name, result in results.items():
        assert result.counts.rounds, name


def test_page_explains_every_count() -> None:
    page = report.PAGE.read_text()
    assert [kind for kind in WRONG if f"| {kind} |" not in page] == []


def test_happened_says_what_is_wrong() -> None:
    kept = Counts(acknowledged=1000, noted={"answers lost": 3})
    assert report.happened(kept) == "1,000 messages acknowledged, 3 answers lost: promise kept"
    assert "**2 skipped**" in report.happened(Counts(acknowledged=5, skipped=2))
