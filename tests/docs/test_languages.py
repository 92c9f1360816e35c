"""The page of other languages has all drivers, and a tab with each program."""

import re
from pathlib import Path

from tests.languages.drivers import DRIVERS, table
from tests.languages.places import HERE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/guides/languages.md").read_text()


def test_table_is_that_of_the_drivers() -> None:
    assert table() in PAGE


def test_table_tells_which_functions_a_program_calls() -> None:
    for driver in DRIVERS:
        program = HERE / driver.program
        # Those of psql include one another.
        files = program.parent.glob("*.sql") if driver.language == "psql" else [program]
        called = {
            name
            for path in files
            for name in re.findall(r"bank\.(claim_batch\w*)", path.read_text())
        }
        assert called == {"claim_batch" if driver.rows else "claim_batch_json"}, driver.name


def test_every_program_is_shown() -> None:
    shown = re.findall(r'--8<-- "(.*)"', PAGE)
    assert {f"tests/languages/{driver.program}" for driver in DRIVERS} - set(shown) == set()
    assert [path for path in shown if not (ROOT / path).exists()] == []
