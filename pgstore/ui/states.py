"""States of streams, by the program's own functions, from the messages of the console's store."""

from collections.abc import Mapping
from typing import Any

import msgspec
import psycopg

from pgstore._async.decider import AsyncDecider
from pgstore._async.store import AsyncMessageStore
from pgstore._async.writer import AsyncWriter
from pgstore._core.arguments import describe
from pgstore._core.text import one_line
from pgstore.errors import InvalidArgumentError, PgstoreError
from pgstore.ui.problems import Refusal

# Deciders and repositories of either color, one for all streams or one for each category.
Deciders = Any


class States:
    """Makes states of streams as a program does, and reads with the console's rights."""

    def __init__(self, decider: Any, store: AsyncMessageStore[Any]) -> None:
        theirs = decider._store
        # The functions and classes are the program's; the connections are the console's.
        reader = AsyncWriter(store._database, theirs._codec, store._waker, None)
        self._decider: AsyncDecider[Any, Any] = AsyncDecider(
            reader, decider._evolve, decider._initial, decider._snapshots, 0
        )

    async def at(self, stream: str, version: int) -> str:
        """The state of a stream at a version, as JSON."""
        try:
            state, _ = await self._decider.load(stream, at_version=version)
            return msgspec.json.encode(state, enc_hook=_plain, order="sorted").decode()
        except (PgstoreError, psycopg.Error, TimeoutError):
            raise
        except Exception as error:  # of the program's functions, or a state that is no JSON
            raise Refusal(
                422,
                "The program makes no state of this",
                one_line(f"{type(error).__name__}: {error}"),
                "This is an error of the program that was given with --app.",
            ) from error


def deciders_of(given: Deciders | None, store: AsyncMessageStore[Any]) -> dict[str | None, States]:
    """The states' makers by category; None for all categories."""
    if given is None:
        return {}
    several: dict[str | None, Any] = (
        dict(given) if isinstance(given, Mapping) else {_category_of(given): given}
    )
    return {category: States(_decider_of(each), store) for category, each in several.items()}


def states_of(deciders: Mapping[str | None, States], category: str) -> States | None:
    """The maker of the states of a category's streams, if there is one."""
    return deciders.get(category) or deciders.get(None)


def _category_of(given: Any) -> str | None:
    category = getattr(given, "_category", None)
    return category if isinstance(category, str) else None


def _decider_of(given: Any) -> Any:
    found = getattr(given, "_decider", given)  # of a repository
    if not hasattr(found, "_evolve") or not hasattr(found, "_initial"):
        raise InvalidArgumentError(
            "deciders must be a decider or a repository of a store, or a mapping of categories to"
            f" them, not {describe(given)}"
        )
    return found


def _plain(value: Any) -> Any:
    """A value that msgspec has no JSON for."""
    if callable(dump := getattr(value, "model_dump", None)):
        return dump(mode="json")
    try:
        return vars(value)
    except TypeError:
        return repr(value)
