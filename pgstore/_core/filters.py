"""The filters of reads across streams."""

from collections.abc import Iterable

import msgspec

from pgstore._core.arguments import name_of, number, several
from pgstore._core.parameters import array
from pgstore.errors import InvalidArgumentError


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """The filters of a read across streams; None leaves one out."""

    types: tuple[str, ...] | None = None
    categories: tuple[str, ...] | None = None
    stream_pattern: str | None = None
    partition: int | None = None
    partitions: int | None = None
    partition_by: str = "stream"
    # JSON of an object.
    metadata: str | None = None

    def parameters(self) -> tuple[str | None, ...]:
        """As the statements take them: types, categories, pattern, partition, partitions, by.

        The metadata is a parameter of a statement of its own.
        """
        return (
            array(self.types),
            array(self.categories),
            self.stream_pattern,
            number("partition", self.partition),
            number("partitions", self.partitions),
            self.partition_by,
        )


def categories_of(category: str | None, categories: Iterable[str] | None) -> tuple[str, ...] | None:
    """The categories meant by an argument for one and an argument for several."""
    if category is None:
        return several("categories", categories)
    if categories is not None:
        raise InvalidArgumentError("give category or categories, not both")
    return (category,)


def names(argument: str, values: Iterable[str]) -> tuple[str, ...]:
    """Several names."""
    return tuple(name_of(f"each of {argument}", each) for each in several(argument, values) or ())
