"""The source of a store's connections, chosen by the argument that is given."""

from typing import Any

from psycopg_pool import AsyncConnectionPool

from pgstore._async.entry import AsyncEntry
from pgstore._async.source import AsyncSource
from pgstore._async.waker import WakeUp
from pgstore._compat.joining import AsyncConnections, async_engine_kind
from pgstore._core.arguments import count, name_of, one_of, refuse_source
from pgstore._core.conninfo import checked
from pgstore._core.frameworks import kind_of
from pgstore.errors import InvalidArgumentError


def source_of(
    conninfo: AsyncConnections | AsyncEntry | None,
    store: str,
    create: bool | None,
    wakeup: WakeUp,
    prepare_threshold: int | None,
    group_writes: bool,
) -> AsyncSource:
    """The source for the arguments of a store."""
    lent = None
    entry: AsyncEntry | None = None
    if isinstance(conninfo, AsyncEntry):
        entry = conninfo
        conninfo = entry.own
    if kind_of(conninfo) in (async_engine_kind, "django"):
        # Not at the top: a program without a framework does not wait for it.
        from pgstore._async.engines import lent_pool

        lent = lent_pool(conninfo)
    given: Any = None if lent is not None else conninfo
    if kind_of(given) == "url":
        given = checked(given)
    refuse_source(given, AsyncConnectionPool, "AsyncMessageStore")
    one_of("wakeup", wakeup, "listen", "poll")
    if prepare_threshold is not None:
        prepare_threshold = count("prepare_threshold", prepare_threshold)
    if prepare_threshold != 5 and (lent is not None or isinstance(given, AsyncConnectionPool)):
        raise InvalidArgumentError(
            "prepare_threshold belongs into the kwargs of the pool that is given, the connect_args"
            " of the engine, or Django's OPTIONS"
        )
    if lent is not None and lent.transaction is not None and group_writes:
        raise InvalidArgumentError(
            "group_writes sends the writes of several threads together; with Django's connections"
            " each thread has a transaction of its own: leave it out"
        )
    return AsyncSource(given, name_of("store", store), create, prepare_threshold, lent, entry)


def reading_source(
    read_conninfo: AsyncConnections,
    store: str,
    create: bool,
    wakeup: WakeUp,
    prepare_threshold: int | None,
) -> AsyncSource:
    """The source of reads from a standby, which gets the store from its primary."""
    try:
        return source_of(
            read_conninfo, store, None if create else False, wakeup, prepare_threshold, False
        )
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"read_conninfo: {error}") from None
