"""What is no store is refused as a store's first use refuses it."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from pgstore import InvalidArgumentError, StoreNotInstalledError, StoreOutdatedError, transfer
from tests.transfer.conftest import Place

Operation = Callable[[Place, Path, Any], object]

OPERATIONS: dict[str, Operation] = {
    "export": lambda place, _, store: transfer.export(place.conn, BytesIO(), store=store),
    "export_file": lambda place, file, store: transfer.export_file(
        place.conn, file.with_name("other.jsonl"), store=store
    ),
    "import_from": lambda place, file, store: transfer.import_from(
        place.conn, transfer.FileSource(file), store=store
    ),
    "check": lambda place, file, store: transfer.check(
        place.conn, transfer.FileSource(file), store=store
    ),
    "verify": lambda place, _, store: transfer.verify(place.conn, store=store),
}
BOTH = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


@BOTH
@pytest.mark.parametrize(
    "store", ["", "\ud800", "a\0b", "a" * 64, "pg_mine", "$user", 5, None, b"a"]
)
def test_what_no_store_can_be_called_is_refused(
    old: Place, file: Path, operation: Operation, store: object
) -> None:
    old.export(file)
    with pytest.raises(InvalidArgumentError):
        operation(old, file, store)


@BOTH
@pytest.mark.parametrize("store", ["nosuch", "public", "a%s"])
def test_store_that_is_missing_is_refused(
    old: Place, file: Path, operation: Operation, store: str
) -> None:
    old.export(file)
    with pytest.raises(StoreNotInstalledError, match="python -m pgstore install"):
        operation(old, file, store)


@BOTH
def test_store_that_is_older_is_refused(old: Place, file: Path, operation: Operation) -> None:
    old.export(file)
    old.query("DELETE FROM STORE.migrations WHERE number > 1")
    old.query("DROP FUNCTION STORE.verify_store()")
    with pytest.raises(StoreOutdatedError, match="python -m pgstore install"):
        operation(old, file, old.name)
