"""The same application on four stores: pgstore's answers, and the table of lines in the docs."""

import pytest

from benchmarks.applications import APPLICATIONS, asking
from benchmarks.applications.asking import differing
from benchmarks.applications.check import PARTS, REFUSED
from benchmarks.applications.lines import (
    CHECK,
    IMPORTS,
    NOTES,
    SECTIONS,
    counted,
    lines_of,
    lines_table,
)
from benchmarks.report import ROOT

PYTHON = '''\
"""A program."""

import os
from typing import (
    Any,
)

# -- order


class Order:
    # A comment.
    def pay(
        self, cents: int
    ) -> None: ...


# -- check
print(1)
'''
JAVASCRIPT = """\
// A program.
import { createInterface } from 'node:readline';

// -- order
const order = {
  // A comment.
  cents: 1,
};
// -- messages
const paid = 2;
// -- order
const more = 3;
"""


def test_the_application_on_pgstore_gives_the_answers_that_are_expected(conninfo: str) -> None:
    assert differing(APPLICATIONS["pgstore"], conninfo) == []


def test_another_answer_is_named_and_ends_the_application(
    conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = [[(["run", "request-1", "place", "1", "Ada", 25], REFUSED)], *PARTS[1:]]
    monkeypatch.setattr(asking, "PARTS", wrong)
    (answer, _) = differing(APPLICATIONS["pgstore"], conninfo)
    assert answer == "pgstore: ['run', 'request-1', 'place', '1', 'Ada', 25]: None, not refused"


def test_the_table_of_the_docs_is_that_of_the_programs() -> None:
    """If it is not: `python -m benchmarks.report`."""
    assert f"\n\n{lines_table()}\n\n" in (ROOT / "docs" / "choosing.md").read_text()


def test_lines_are_counted_by_section_without_blanks_comments_and_brackets() -> None:
    assert counted(PYTHON) == {IMPORTS: 3, "order": 4, CHECK: 1}
    assert counted(JAVASCRIPT, "//") == {IMPORTS: 1, "order": 3, "messages": 1}


@pytest.mark.parametrize("text", ["x = 1\n", "# -- ordre\nx = 1\n"])
def test_code_in_no_known_section_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="section"):
        counted(text)


def test_no_line_is_longer_than_the_page_says() -> None:
    texts = [app.path.read_text() for app in APPLICATIONS.values()]
    assert max(len(line) for text in texts for line in text.splitlines()) <= 100


def test_a_section_that_a_program_lacks_has_a_note_and_each_note_a_cell() -> None:
    noted = [cell for cells, _ in NOTES for cell in cells]
    assert len(noted) == len(set(noted))
    assert set(noted) <= {(section, name) for section in SECTIONS for name in APPLICATIONS}
    for name, app in APPLICATIONS.items():
        lines = lines_of(app)
        assert not [key for key in SECTIONS if not lines[key] and (key, name) not in noted]
