"""Pages of the console: nothing inline, nothing unescaped, nothing from elsewhere."""

import re
from pathlib import Path

UI = Path(__file__).parents[2] / "pgstore" / "ui"
TEMPLATES = sorted((UI / "templates").glob("*.html"))
OWN = [*(UI / "static").glob("*.js"), *(UI / "static").glob("*.css")]

FORBIDDEN = {
    r"\|\s*safe\b": "a value that is not escaped",
    r"autoescape\s+false": "values that are not escaped",
    r"\sstyle=": "an inline style",
    r"\son\w+=": "an inline script",
    r"\shx-on": "an inline script",
    r"<script(?![^>]*\ssrc=)": "an inline script",
    r"<style": "an inline style",
    r"""(?:src|href|action)=["']?(?:https?:)?//""": "something from elsewhere",
    r"javascript:": "an address that is a script",
}
# Ways to have a text read as HTML or as code.
UNSAFE = (
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
    r"|setAttribute\(.on"
)


def test_templates_have_nothing_that_the_policy_refuses() -> None:
    assert TEMPLATES
    found = [
        f"{path.name}: {why}: {match.group()}"
        for path in TEMPLATES
        for pattern, why in FORBIDDEN.items()
        for match in re.finditer(pattern, path.read_text())
    ]
    assert found == []


def test_own_files_load_nothing_and_make_no_html_of_texts() -> None:
    assert OWN
    found = [
        f"{path.name}: {match.group()}"
        for path in OWN
        for match in re.finditer(rf"{UNSAFE}|https?://|@import", path.read_text())
    ]
    assert found == []


def test_own_scripts_stay_small() -> None:
    lines = sum(len(path.read_text().splitlines()) for path in OWN if path.suffix == ".js")
    assert lines < 600
