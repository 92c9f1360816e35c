"""The page of other languages has all drivers, and a tab with each program."""

import re
from pathlib import Path

from tests.languages.drivers import DRIVERS, table

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/guides/languages.md").read_text()


def test_table_is_that_of_the_drivers() -> None:
    assert table() in PAGE


def test_every_program_is_shown() -> None:
    shown = re.findall(r'--8<-- "(.*)"', PAGE)
    assert {f"tests/languages/{driver.program}" for driver in DRIVERS} - set(shown) == set()
    assert [path for path in shown if not (ROOT / path).exists()] == []
