"""Filters, as a program compares them with the rows that it is given."""

import pytest

from pgstore._core.filters import Filter

METADATA, TAGS = '{"tenant": "a", "n": {"m": 1}}', '["A","b","ä"]'
ROW = ("id", "account-7+2025", 1, 1, "Deposited", "{}", METADATA, None, TAGS)
CHECKPOINT = (None,) * 9


@pytest.mark.parametrize(
    "admitting",
    [
        Filter(),
        Filter(types=("Deposited", "Opened")),
        Filter(categories=("account",)),
        Filter(stream_pattern="account-%"),
        Filter(stream_pattern="account-_+____"),
        Filter(stream_pattern="account\\-7+2025"),
        Filter(types=("Deposited",), categories=("a", "account"), stream_pattern="%"),
        Filter(metadata='{"tenant": "a"}'),
        Filter(metadata='{"n": {"m": 1}}', categories=("account",)),
        Filter(metadata="{}"),
        Filter(tags=("A",)),
        Filter(tags=("ä", "A", "b", "A")),
        Filter(tags=("b",), types=("Deposited",), metadata="{}"),
    ],
)
def test_message_is_one_of_the_filter(admitting: Filter) -> None:
    assert admitting.admits([ROW, CHECKPOINT])
    assert admitting.admits([CHECKPOINT])
    assert admitting.admits([])


@pytest.mark.parametrize(
    "other",
    [
        Filter(types=("Opened",)),
        Filter(categories=("acc",)),
        Filter(stream_pattern="account"),
        Filter(stream_pattern="account-\\_%"),
        Filter(stream_pattern="account.7%"),
        Filter(types=("Deposited",), categories=("order",)),
        Filter(metadata='{"tenant": "b"}'),
        Filter(metadata='{"other": null}'),
        Filter(metadata='{"tenant": "a"}', categories=("order",)),
        Filter(tags=("a",)),
        Filter(tags=("A", "c")),
        Filter(tags=("b",), categories=("order",)),
    ],
)
def test_message_is_of_another_filter(other: Filter) -> None:
    assert not other.admits([ROW])


def test_message_without_tags_is_of_another_filter() -> None:
    assert not Filter(tags=("A",)).admits([(*ROW[:-1], None)])
