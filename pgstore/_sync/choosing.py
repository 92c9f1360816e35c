# Generated from pgstore/_async/choosing.py by `python tools/unasync.py`.

"""The source of a store's connections, chosen by the argument that is given."""

from typing import Any

from psycopg_pool import ConnectionPool

from pgstore._compat.joining import Connections, engine_kind
from pgstore._core.arguments import count, name_of, one_of, refuse_source
from pgstore._core.conninfo import checked
from pgstore._core.frameworks import kind_of
from pgstore._sync.entry import Entry
from pgstore._sync.source import Source
from pgstore._sync.waker import WakeUp
from pgstore.errors import InvalidArgumentError


def source_of(
    conninfo: Connections | Entry | None,
    store: str,
    create: bool | None,
    wakeup: WakeUp,
    prepare_threshold: int | None,
    group_writes: bool,
) -> Source:
    """The source for the arguments of a store."""
    lent = None
    entry: Entry | None = None
    if isinstance(conninfo, Entry):
        entry = conninfo
        conninfo = entry.own
    if kind_of(conninfo) in (engine_kind, "django"):
        # Not at the top: a program without a framework does not wait for it.
        from pgstore._sync.engines import lent_pool

        lent = lent_pool(conninfo)
    given: Any = None if lent is not None else conninfo
    if kind_of(given) == "url":
        given = checked(given)
    refuse_source(given, ConnectionPool, "MessageStore")
    one_of("wakeup", wakeup, "listen", "poll")
    if prepare_threshold is not None:
        prepare_threshold = count("prepare_threshold", prepare_threshold)
    if prepare_threshold != 5 and (lent is not None or isinstance(given, ConnectionPool)):
        raise InvalidArgumentError(
            "prepare_threshold belongs into the kwargs of the pool that is given, the connect_args"
            " of the engine, or Django's OPTIONS"
        )
    if lent is not None and lent.transaction is not None and group_writes:
        raise InvalidArgumentError(
            "group_writes sends the writes of several threads together; with Django's connections"
            " each thread has a transaction of its own: leave it out"
        )
    return Source(given, name_of("store", store), create, prepare_threshold, lent, entry)


def reading_source(
    read_conninfo: Connections,
    store: str,
    create: bool,
    wakeup: WakeUp,
    prepare_threshold: int | None,
) -> Source:
    """The source of reads from a standby, which gets the store from its primary."""
    try:
        return source_of(
            read_conninfo, store, None if create else False, wakeup, prepare_threshold, False
        )
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"read_conninfo: {error}") from None
