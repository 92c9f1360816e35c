"""Retention, deletion, rights and the audit."""

import time
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from pgstore._core import statements as s
from pgstore.cli._app import Yes, argument, command, flag, group, option
from pgstore.cli._call import Call, Parameters
from pgstore.cli._completion import categories as category_names
from pgstore.cli._completion import streams as stream_names
from pgstore.cli._errors import NOT_FOUND, USAGE, CommandError
from pgstore.cli._layout import Column
from pgstore.cli._values import counted

PANEL = "Administration"

Category = Annotated[str, argument("CATEGORY", "The category.", complete=category_names)]
Stream = Annotated[str, argument("STREAM", "The stream.", complete=stream_names)]
Reason = Annotated[str | None, option("TEXT", "Why, for the audit.")]
Kind = Annotated[
    Literal["read", "write", "consume", "monitor", "admin"],
    argument("KIND", "read, write, consume, monitor or admin."),
]
Role = Annotated[str, argument("ROLE", "The role.")]

_POLICIES = (
    Column("category", least=16),
    Column("max_age"),
    Column("max_count", right=True),
    Column("keep_unhandled", rank=1),
    Column("reached_position", right=True, rank=2),
    Column("handled_position", right=True, rank=3),
)
_GRANTS = (
    Column("role", least=16),
    Column("kind"),
    Column("categories", least=16, optional=True),
    Column("role_exists", rank=1),
)
_AUDIT = (
    Column("audit_id", title="id", right=True),
    Column("done_at"),
    Column("acting_role", title="role", least=10),
    Column("action"),
    Column("subject", least=12),
    Column("reason", least=12, rank=1, optional=True),
    Column("detail", least=16, rank=2),
    Column("session_role", rank=3),
)


retention = group(
    "retention", panel=PANEL, help="How long messages are kept: list, set, drop, apply."
)


@command("list", of=retention)
def retention_list(call: Call) -> None:
    """List the policies, and how far each has been applied."""
    with call.connect() as session:
        call.out.rows(session.rows(s.LIST_RETENTION), _POLICIES, empty="Everything is kept.")


@command("set", of=retention)
def retention_set(
    call: Call,
    category: Category,
    max_age: Annotated[
        str | None, option("INTERVAL", "PostgreSQL's: '90 days', '1 year 6 months', P90D.")
    ] = None,
    max_count: Annotated[int | None, option("N", "Keep the newest N of the category.")] = None,
    unhandled: Annotated[
        bool, flag("Also what a subscription has not handled yet.", "--delete-unhandled")
    ] = False,
    reason: Reason = None,
) -> None:
    """Say how long to keep a category's messages; pgstore retention apply deletes.

    \b
      pgstore retention set session --max-age '90 days' --reason 'GDPR 5'
    """
    if max_age is None and max_count is None:
        raise CommandError(
            "give --max-age, --max-count or both",
            code=USAGE,
            hint=f"pgstore retention drop {category} ends a policy",
        )
    with call.connect() as session:
        session.value(s.SET_RETENTION, [category, max_age, max_count, not unhandled, reason])
    call.out.done(
        f"Category {category} has a retention policy; pgstore retention apply deletes by it.",
        category=category,
        max_age=max_age,
        max_count=max_count,
        keep_unhandled=not unhandled,
    )


@command("drop", of=retention)
def retention_drop(call: Call, category: Category, reason: Reason = None) -> None:
    """Keep the messages of a category for ever again."""
    with call.connect() as session:
        dropped = session.value(s.DROP_RETENTION, [category, reason])
    if not dropped:
        raise CommandError(f"category {category} has no retention policy", code=NOT_FOUND)
    call.out.done(f"Messages of category {category} are kept.", category=category)


@command("apply", of=retention)
def retention_apply(
    call: Call,
    batch: Annotated[int, option("N", "Messages in a transaction.", least=1, most=10_000)] = 1000,
    pause: Annotated[float, option("SECONDS", "Between transactions.", least=0)] = 0.05,
    max_count: Annotated[int | None, option("N", "The most messages, about.", least=1)] = None,
) -> None:
    """Delete what the policies say, in small transactions, until nothing more is due.

    For a job that runs now and then. Streams that somebody is writing to are left for the next
    time.

    \b
      pgstore retention apply --batch 500 --pause 0.1
    """
    deleted, more = 0, True
    with call.connect() as session:
        while more and (max_count is None or deleted < max_count):
            row = session.row(s.APPLY_RETENTION, [batch])
            deleted, more = deleted + row["deleted"], row["more"]
            if more and not row["deleted"]:
                break  # what is left is in streams that are in use
            if more:
                time.sleep(pause)
    rest = "; there is more" if more else ""
    call.out.done(f"{counted(deleted, 'message')} deleted{rest}.", deleted=deleted, more=more)


@command("truncate", panel=PANEL)
def truncate(
    call: Call,
    stream: Stream,
    before: Annotated[int, option("VERSION", "Keep from this version on.")],
    reason: Reason = None,
    yes: Yes = False,
) -> None:
    """Delete a stream's messages before a version. Asks first.

    The stream keeps its version: the next message gets the next one.

    \b
      pgstore truncate account-1 --before 100 --reason 'snapshot at 100'
    """
    question = f"Its messages before version {before} will be deleted."
    _delete(call, stream, question, s.TRUNCATE_STREAM, [stream, before, reason], yes=yes)


@command("delete", panel=PANEL)
def delete(
    call: Call,
    stream: Stream,
    expected_version: Annotated[
        int | None, option("N", "Only if the stream is at this version.")
    ] = None,
    reason: Reason = None,
    yes: Yes = False,
) -> None:
    """Delete all messages of a stream. Asks first.

    Its name and version stay: a message written to it later gets the next version.

    \b
      pgstore delete account-1 --expected-version 12 --reason 'asked by its owner'
    """
    question = "All its messages will be deleted."
    _delete(call, stream, question, s.DELETE_STREAM, [stream, expected_version, reason], yes=yes)


@command("empty", panel=PANEL)
def empty(call: Call, reason: Reason = None, yes: Yes = False) -> None:
    """Delete all messages of the store. Asks first.

    The answer is the store's name. Positions and versions continue where they were, subscriptions
    keep their checkpoints. All readers and writers of messages wait meanwhile.

    \b
      pgstore empty --store bank --reason 'the trial is over'
    """
    with call.connect() as session:
        question = f"All messages of store {call.store} will be deleted."
        call.out.confirm(question, yes=yes, answer=call.store)
        deleted = session.value(s.EMPTY_STORE, [call.store, reason])
    call.out.done(
        f"{counted(deleted, 'message')} of store {call.store} deleted.",
        store=call.store,
        deleted=deleted,
    )


@command("redact", panel=PANEL)
def redact(
    call: Call,
    message_id: Annotated[UUID, argument("ID", "Its message_id.")],
    reason: Annotated[str, option("TEXT", "Why, for the audit.")],
    data: Annotated[str, option("JSON", "The new payload.")] = "null",
    metadata: Annotated[str | None, option("JSON", "The new metadata.")] = None,
    remove_tag: Annotated[
        list[str] | None, option("TAG", "A tag to remove; may be repeated.")
    ] = None,
    yes: Yes = False,
) -> None:
    """Replace the payload of a stored message. Asks first.

    Its id, place, type and time stay, and its tags except those of --remove-tag.
    WAL, replicas and backups keep the old content until they are gone.

    \b
      pgstore redact 0197f0c2-5a3e-7d1c-9b1e-3f6f0a2b4c5d --reason "GDPR 17"
    """
    with call.connect() as session:
        found = session.message(message_id)
        place = "version {version} of stream {stream}, a {type}".format(**found)
        call.out.confirm(f"The payload of {place}, will be lost.", yes=yes)
        session.value(s.REDACT_MESSAGE, [message_id, data, reason, metadata, remove_tag])
    call.out.done(f"Message {message_id} is redacted.", message_id=message_id)


@command("grants", panel=PANEL)
def grants(call: Call) -> None:
    """List which roles were granted what."""
    with call.connect() as session:
        call.out.rows(session.rows(s.LIST_GRANTS), _GRANTS, empty="Nothing was granted.")


@command("grant", panel=PANEL)
def grant(
    call: Call,
    kind: Kind,
    role: Role,
    category: Annotated[
        list[str] | None,
        option(
            "NAME", "With write: only to this category; may be repeated.", complete=category_names
        ),
    ] = None,
) -> None:
    """Give a role rights on the store.

    read: messages. write: messages, to some categories or all. consume: work on subscriptions and
    steer them. monitor: statistics and subscriptions. admin: all these, delete and redact.
    Upgrades grant the role what they add. For the store's owner.

    \b
      pgstore grant write billing --category invoice --category payment
    """
    if category and kind != "write":
        raise CommandError("--category goes with write", code=USAGE)
    from pgstore.errors import InvalidArgumentError

    with call.connect() as session:
        try:
            session.value(s.GRANT_ACCESS, [role, kind, category])
        except InvalidArgumentError as error:
            if error.argument != "role":
                raise
            raise CommandError(f"there is no role {role}", code=NOT_FOUND) from error
    of = f" to {', '.join(category)}" if category else ""
    call.out.done(f"Role {role} may {kind}{of}.", role=role, kind=kind, categories=category)


@command("revoke", panel=PANEL)
def revoke(call: Call, kind: Kind, role: Role) -> None:
    """Take from a role what grant gave it.

    \b
      pgstore revoke write billing
    """
    with call.connect() as session:
        revoked = session.value(s.REVOKE_ACCESS, [role, kind])
    if not revoked:
        raise CommandError(f"role {role} was not granted {kind}", code=NOT_FOUND)
    call.out.done(f"Role {role} may no longer {kind}.", role=role, kind=kind)


@command("audit", panel=PANEL)
def audit(
    call: Call,
    max_count: Annotated[int, option("N", "The most entries.", least=1)] = 100,
    before: Annotated[int | None, option("ID", "Only entries before this one.")] = None,
) -> None:
    """Show the changes of stored messages and of rights.

    The role, the time, the action and the reason; the latest first.
    """
    with call.connect() as session:
        rows = session.rows(s.LIST_AUDIT, [max_count, before])
    for row in rows:
        row["detail"] = msgspec.Raw(row["detail"].encode())
    call.out.rows(rows, _AUDIT, empty="Nothing was done.")


def _delete(
    call: Call, stream: str, question: str, statement: str, parameters: Parameters, *, yes: bool
) -> None:
    """Ask about a stream, which has to be there, and delete messages of it."""
    with call.connect() as session:
        version = session.version(stream)
        call.out.confirm(f"Stream {stream} is at version {version}. {question}", yes=yes)
        deleted = session.value(statement, parameters)
    call.out.done(
        f"{counted(deleted, 'message')} of stream {stream} deleted.", stream=stream, deleted=deleted
    )
