"""What the page of versions says of this one is what the package says."""

import re
import tomllib
from pathlib import Path

from pgstore._core import sql_files

ROOT = Path(__file__).parents[2]


def test_page_of_versions_has_the_row_of_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    prefix = "Programming Language :: Python :: "
    pythons = [
        each.removeprefix(prefix) for each in project["classifiers"] if each.startswith(prefix)
    ]
    minor = project["version"].rpartition(".")[0]
    page = (ROOT / "docs/operations/versions.md").read_text()
    row = re.search(rf"^\| {re.escape(minor)} \| (\d+) \| (.*) \| (.*) \|$", page, re.MULTILINE)
    assert row is not None
    assert int(row[1]) == sql_files.migrations()[-1].number
    assert row[3].split(", ") == [each for each in pythons if "." in each]
    install = (ROOT / "docs/operations/install.md").read_text()
    assert re.sub(r",(?=[^,]*$)", " or", row[2]) in install
