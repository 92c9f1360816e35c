"""The front-end libraries are those that were brought, byte for byte."""

import hashlib
import json
from typing import Any

from tools import vendor

RECORD: list[dict[str, Any]] = json.loads((vendor.PLACE / vendor.RECORD).read_text())


def test_vendored_files_are_the_recorded_ones() -> None:
    recorded = {name: digest for each in RECORD for name, digest in each["sha256"].items()}
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in vendor.PLACE.iterdir()
        if path.name != vendor.RECORD
    }
    assert found == recorded


def test_record_is_that_of_the_tool() -> None:
    for recorded, library in zip(RECORD, vendor.LIBRARIES, strict=True):
        assert recorded["package"] == library.package
        assert recorded["version"] == library.version
        assert recorded["licence"] == library.licence
        assert recorded["integrity"] == library.integrity
        assert list(recorded["sha256"]) == list(library.files.values())
