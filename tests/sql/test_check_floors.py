"""check_floors: what import_floors would refuse, without a trace."""

from typing import Any

import psycopg
import pytest

from tests.sql.store import Store


def test_check_floors_sets_none(store: Store, stream: str) -> None:
    before = store.counts()
    store.call("check_floors", [stream, stream], [3, 5])
    assert store.counts() == before
    assert store.call("import_floors", [stream, stream], [3, 5]) == [(1,)]


def test_check_floors_knows_what_earlier_batches_bring(store: Store, stream: str) -> None:
    with store.refused("MS001", actual_version=2, expected_version=3, index=1):
        store.call("check_floors", [f"{stream}-b", stream], [3, 3], [0, 2])
    store.call("check_floors", [f"{stream}-b", stream], [3, 3], [None, 3])
    with store.refused("22023", argument="floors"):
        store.call("check_floors", [stream], [3], [0, 2])


@pytest.mark.parametrize(
    ("streams", "floors"),
    [
        (["{}", "{}-b"], [2, 1]),
        (["{}-b", "{}"], [3, 2]),
        (["{}-b", "{}-b"], [5, 0]),
        (["{}-b"], [2**62 + 1]),
        (["{}-b"], [None]),
        ([""], [5]),
        ([None], [5]),
        (["{}-b"], [5, 1]),
    ],
)
def test_check_floors_refuses_as_import_floors_does(
    empty: Store, stream: str, streams: list[Any], floors: list[Any]
) -> None:
    empty.write(stream)
    named = [each and each.format(stream) for each in streams]
    said = []
    for function in ("import_floors", "check_floors"):
        with pytest.raises(psycopg.Error) as caught:
            empty.call(function, named, floors)
        diag = caught.value.diag
        said.append((diag.sqlstate, diag.message_primary, diag.message_detail, diag.message_hint))
    assert said[0] == said[1]
