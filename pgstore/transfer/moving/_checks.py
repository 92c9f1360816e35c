"""Checks of both servers, before a move begins."""

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec
from psycopg.conninfo import conninfo_to_dict

from pgstore._core import sql_files
from pgstore._sync.installer import applied_migrations, problem_of
from pgstore.errors import StoreNotInDirectoryError, StoreNotInstalledError
from pgstore.transfer.moving import _sql as q
from pgstore.transfer.moving._place import End
from pgstore.transfer.moving._rights import missing_roles
from pgstore.transfer.verify import objects_in_store

if TYPE_CHECKING:
    from pgstore._sync.directory import Directory

_FINISH = "finish it, or take it back: pgstore move … --abort"
_FINISH_FORMER = (
    "run that move again, which removes its subscription; drop that by hand if the former server is"
    " gone"
)
_MAY_CREATE = "GRANT CREATE ON DATABASE … TO …"


class Finding(msgspec.Struct, frozen=True):
    """A check, its result, and a remedy if that is wrong."""

    check: str
    found: str
    wrong: bool
    remedy: str = ""


def look(
    source: End,
    target: End,
    directory: "Directory | None",
    *,
    replaces_closed: bool,
    replicate_from: str,
) -> list[Finding]:
    """Look at both servers, and at the directory."""
    problem = problem_of(applied_migrations(source.conn, source.statements), source.store)
    version = f"schema version {sql_files.migrations()[-1].number}"
    said, remedy = str(problem or version), "install this release there"
    if isinstance(problem, StoreNotInstalledError):
        # Its advice is to install one.
        said, remedy = said.partition(";")[0], "look at the store's name, and at its database"
    found = [Finding("store", said, problem is not None, remedy)]
    if problem is not None:
        return found
    ((_, owns),) = source.rows(q.OWNED, source.store)
    found.append(_required("the role is the store's owner", owns, "connect as its owner"))
    if not owns:
        return found
    begun = moves_to(source) == target.place
    return [
        *found,
        *_of_move(source, target, begun),
        *_of_source(source, target, begun),
        *_of_target(source, target, replaces_closed),
        *_of_roles(source, target, replicate_from),
        *_listed(source, directory),
    ]


def moves_to(source: End) -> str | None:
    """Where a move has begun to that was neither finished nor taken back; None if there is none."""
    place: str | None = source.value(q.MOVES_TO, name_of(source))
    return place


def _of_move(source: End, target: End, begun: bool) -> list[Finding]:
    place, other = source.fence, moves_to(source)
    closed = place is not None and not (begun and place == target.place)
    move, remedy = "none" if begun or other is None else f"to {other}", _FINISH
    # With its subscription the next move to here would take the closed store for its copy.
    if place is None and source.has(q.FORMER, name_of(source), source.store):
        move, remedy = "the one to here is not finished", _FINISH_FORMER
    parts: dict[str, Any] = conninfo_to_dict(target.place)
    has_host = any(parts.get(name) for name in ("host", "hostaddr", "service"))
    return [
        Finding(
            "the source is open",
            "yes" if place is None else f"closed: it moves, or has moved, to {place}",
            closed,
            "move it from where it is",
        ),
        Finding("another move of the store", move, move != "none", remedy),
        # Programs elsewhere would look for it on their own machine.
        Finding(
            "the place of the target",
            target.place,
            not has_host,
            "write its host into the connection string, or into PGHOST",
        ),
    ]


def _of_source(source: End, target: End, begun: bool) -> list[Finding]:
    ((level, slots, senders, replicates, creates, prepared, standby),) = source.rows(q.SOURCE)
    objects = objects_in_store(source.conn, source.store)
    # One for the changes, and one for each table that is copied at the same time. A move that
    # continues has them.
    needed = 0 if begun else 1 + max(1, target.value(q.COPIES))
    return [
        _required("the source is a primary", not standby, "connect to the primary"),
        Finding(
            "wal_level of the source",
            level,
            level != "logical",
            "set wal_level = logical, and restart the server",
        ),
        Finding(
            "replication slots that are free",
            f"{slots}; it takes {needed}",
            slots < needed,
            "raise max_replication_slots, or drop slots that nobody uses",
        ),
        Finding(
            "walsenders that are free",
            f"{senders}; it takes {needed}",
            senders < needed,
            "raise max_wal_senders",
        ),
        _required("the role may replicate", replicates, "ALTER ROLE … REPLICATION"),
        _required("the role may publish", creates, _MAY_CREATE),
        Finding(
            "objects in the store's schema",
            objects.example or "those of the store",
            bool(objects.wrong),
            "install this release there; move what is not the store's to another schema",
        ),
        Finding(
            "prepared transactions",
            str(prepared),
            False,
            "the fence waits for those that have written to the store",
        ),
    ]


def _of_target(source: End, target: End, replaces_closed: bool) -> list[Finding]:
    ((workers, subscribes, _, standby),) = target.rows(q.TARGET)
    copies = target.value(q.COPIES)
    state, wrong = _state(source, target, replaces_closed)
    return [
        _required("the target is a primary", not standby, "connect to the primary"),
        Finding(
            "workers for replication at the target",
            f"{workers}, for {copies} tables at a time",
            copies < 1,
            "raise max_logical_replication_workers, or max_sync_workers_per_subscription",
        ),
        _required(
            "the role may subscribe",
            subscribes,
            "GRANT pg_create_subscription TO …, or a superuser before PostgreSQL 16",
        ),
        Finding(
            "the store at the target",
            state,
            wrong,
            "drop that schema, if nobody needs it (a closed one: --replace-closed)",
        ),
    ]


def _of_roles(source: End, target: End, replicate_from: str) -> list[Finding]:
    owner = owner_of(source)
    acts, creates = (target.rows(q.OWNER, owner) or [(None, None)])[0]
    missing = missing_roles(source, target)
    # A superuser's subscription may use what the server has: a password file, a peer.
    is_superuser = target.rows(q.TARGET)[0][2]
    needs_password = not is_superuser and not conninfo_to_dict(replicate_from).get("password")
    return [
        Finding(
            "the store's owner at the target",
            f"{owner}: {'no such role' if acts is None else 'yes' if acts else 'another role'}",
            not acts,
            "create the role there, and connect as it, as a member of it, or as a superuser",
        ),
        _required("the store's owner may create a schema", creates, _MAY_CREATE),
        Finding(
            "roles that the target lacks",
            ", ".join(missing) or "none",
            bool(missing),
            "create them there",
        ),
        Finding(
            "a password for the replication",
            "not given" if needs_password else "given, or not needed",
            needs_password,
            "PostgreSQL asks for one unless a superuser subscribes: --replicate-from",
        ),
    ]


def owner_of(end: End) -> str | None:
    """The role that owns the store's schema; None if there is no such schema."""
    owner: str | None = end.value(q.OWNED, end.store)
    return owner


def has_begun(source: End, target: End) -> bool:
    """Whether a move to there was cut off. The store may also have moved from there before."""
    return target.fence == source.place and (
        target.has(q.SUBSCRIPTION, name_of(source)) or bool(target.value(q.IS_NEW))
    )


def _state(source: End, target: End, replaces_closed: bool) -> tuple[str, bool]:
    if not target.has_store:
        alien = target.value(q.ALIENS, target.store)
        if alien is not None:
            return f"its schema is there, and has no store, but {alien}", True
        # An empty one is used, if it is the owner's.
        if owner_of(target) not in (None, owner_of(source)):
            return f"its schema is owned by {owner_of(target)}", True
        return "not there yet", False
    problem = problem_of(applied_migrations(target.conn, target.statements), target.store)
    if problem is not None:
        return str(problem), True
    objects = objects_in_store(target.conn, target.store)
    # The schema would be dropped if the move is taken back, and with it what is not the store's.
    if objects.wrong:
        return f"its schema has other objects: {objects.example}", True
    fence = target.fence
    if has_begun(source, target):
        return "a move has begun", False
    if fence is not None and moves_to(source) == target.place:
        return "a move was taken back, but not to the end: pgstore move … --abort", True
    if fence is not None:
        return f"closed, with the messages of before it moved to {fence}", not replaces_closed
    if owner_of(target) != owner_of(source):
        return f"it is owned by {owner_of(target)}", True
    if target.value(q.IS_NEW):
        return "new", False
    return "it has messages", True


def _listed(source: End, directory: "Directory | None") -> list[Finding]:
    if directory is None:
        return []
    try:
        place = directory.place(source.store).conninfo
    except StoreNotInDirectoryError as error:
        return [Finding("directory", str(error), False)]
    return [
        Finding(
            "directory",
            place,
            place != source.place,
            "give the source as the directory has it, or correct that: pgstore stores --add",
        )
    ]


def _required(check: str, holds: bool | None, remedy: str) -> Finding:
    return Finding(check, "yes" if holds else "no", not holds, remedy)


def name_of(source: End) -> str:
    """The name of publication, slot and subscription: one move of a store at a time.

    The database is part of it, because a slot's name is one of the whole server.
    """
    both = f"{source.value(q.DATABASE)}\0{source.store}"
    return "pgstore_move_" + sha256(both.encode()).hexdigest()[:16]
