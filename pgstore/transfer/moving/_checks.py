"""Checks of both servers, before a move begins."""

import msgspec

from pgstore._core import sql_files
from pgstore._sync.directory import Directory
from pgstore._sync.installer import applied_migrations, problem_of
from pgstore.errors import StoreNotInDirectoryError
from pgstore.transfer.moving import _sql as q
from pgstore.transfer.moving._place import End


class Finding(msgspec.Struct, frozen=True):
    """A check, its result, and a remedy if that is wrong."""

    check: str
    found: str
    wrong: bool
    remedy: str = ""


def look(
    source: End, target: End, directory: Directory | None, replaces_closed: bool
) -> list[Finding]:
    """Look at both servers, and at the directory."""
    problem = problem_of(applied_migrations(source.conn, source.statements), source.store)
    version = f"schema version {sql_files.migrations()[-1].number}"
    found = [
        Finding("store", str(problem or version), problem is not None, "install this release there")
    ]
    if problem is not None:
        return found
    place = source.fence
    begun = place == target.place and source.has(q.PUBLICATION, name_of(source.store))
    found.append(
        Finding(
            "the source is open",
            "yes" if place is None else f"closed: it moves, or has moved, to {place}",
            place is not None and not begun,
            "move it from where it is",
        )
    )
    return [
        *found,
        *_of_source(source),
        *_of_target(source, target, replaces_closed),
        *_listed(source, directory),
    ]


def _of_source(source: End) -> list[Finding]:
    ((level, slots, senders, replicates, creates, owns, prepared, standby),) = source.rows(
        q.SOURCE, source.store
    )
    return [
        Finding(
            "wal_level of the source",
            level,
            level != "logical",
            "set wal_level = logical, and restart the server",
        ),
        # One for the changes, and some for the tables that are copied at the same time.
        Finding(
            "replication slots that are free",
            str(slots),
            slots < 3,
            "raise max_replication_slots, or drop slots that nobody uses",
        ),
        Finding("walsenders that are free", str(senders), senders < 3, "raise max_wal_senders"),
        Finding(
            "the role may replicate", _yes(replicates), not replicates, "ALTER ROLE … REPLICATION"
        ),
        Finding("the role is the store's owner", _yes(owns), not owns, "connect as its owner"),
        Finding(
            "the role may publish", _yes(creates), not creates, "GRANT CREATE ON DATABASE … TO …"
        ),
        Finding(
            "prepared transactions",
            str(prepared),
            False,
            "the fence waits for those that have written to the store",
        ),
        Finding("the source is a primary", _yes(not standby), standby, "connect to the primary"),
    ]


def _of_target(source: End, target: End, replaces_closed: bool) -> list[Finding]:
    ((workers, subscribes, creates, standby),) = target.rows(q.TARGET)
    roles = [role for role, _ in source.rows(q.GRANTS)]
    missing = [role for (role,) in target.rows(q.MISSING_ROLES, roles)]
    state, wrong = _state(source, target, replaces_closed)
    return [
        Finding("the target is a primary", _yes(not standby), standby, "connect to the primary"),
        Finding(
            "workers for replication at the target",
            str(workers),
            workers < 2,
            "raise max_logical_replication_workers",
        ),
        Finding(
            "the role may subscribe",
            _yes(subscribes),
            not subscribes,
            "GRANT pg_create_subscription TO …, or a superuser before PostgreSQL 16",
        ),
        Finding(
            "the role may create a schema",
            _yes(creates),
            not creates,
            "GRANT CREATE ON DATABASE … TO …",
        ),
        Finding(
            "roles that the target lacks",
            ", ".join(missing) or "none",
            bool(missing),
            "create them there",
        ),
        Finding(
            "the store at the target",
            state,
            wrong,
            "drop that schema, if nobody needs it (a closed one: --replace-closed)",
        ),
    ]


def has_begun(source: End, target: End) -> bool:
    """Whether a move to there was cut off. The store may also have moved from there before."""
    return target.fence == source.place and (
        target.has(q.SUBSCRIPTION, name_of(target.store)) or bool(target.value(q.IS_NEW))
    )


def _state(source: End, target: End, replaces_closed: bool) -> tuple[str, bool]:
    if not target.has(q.IS_THERE, target.store):
        return "not there yet", False
    problem = problem_of(applied_migrations(target.conn, target.statements), target.store)
    if problem is not None:
        return str(problem), True
    fence = target.fence
    if has_begun(source, target):
        return "a move has begun", False
    if fence is not None:
        found = f"closed, with the messages of before it moved to {fence}"
        return found, not replaces_closed
    if target.value(q.IS_NEW):
        return "new", False
    return "it has messages", True


def _listed(source: End, directory: Directory | None) -> list[Finding]:
    if directory is None:
        return []
    try:
        place = directory.place(source.store).conninfo
    except StoreNotInDirectoryError as error:
        return [Finding("directory", str(error), False)]
    return [
        Finding(
            "directory", place, place != source.place, "give the source as the directory has it"
        )
    ]


def _yes(value: bool | None) -> str:
    return "yes" if value else "no"


def name_of(store: str) -> str:
    """The name of publication, slot and subscription: one move of a store at a time."""
    from hashlib import sha256

    return "pgstore_move_" + sha256(store.encode()).hexdigest()[:16]
