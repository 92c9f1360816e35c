"""Messages and filters that change: see docs/guides/change-events.md."""

from typing import Annotated, Any

import msgspec
import typer

from pgstore._core import statements as s
from pgstore._core.progress import reads
from pgstore.cli._app import Yes, argument, command, option
from pgstore.cli._call import Call
from pgstore.cli._errors import FAILED, USAGE, CommandError
from pgstore.cli._layout import Column
from pgstore.cli.reading import Category, Metadata, Tag, Type
from pgstore.cli.running import imported
from pgstore.cli.subscriptions import Name

_COLUMNS = (
    Column("line", right=True, optional=True),
    Column("global_position", title="position", right=True, optional=True),
    Column("type", least=12),
    Column("stream", least=12, optional=True),
    Column("version", right=True, optional=True, rank=2),
    Column("error", least=30),
)


@command("refilter", panel="Subscriptions")
def refilter(
    call: Call,
    name: Name,
    category: Category = None,
    type: Type = None,
    stream_pattern: Annotated[
        str | None, option("PATTERN", "Only streams whose name is LIKE this.")
    ] = None,
    metadata: Metadata = None,
    tag: Tag = None,
    after: Annotated[
        int | None,
        option(
            "POSITION",
            "It gains messages after this position; otherwise after its checkpoints.",
            least=0,
        ),
    ] = None,
    yes: Yes = False,
) -> None:
    """Change what it reads, all filters at once.

    Its workers lose their leases, and handle their batches again. Asks first.

    \b
      pgstore refilter balances --type Deposited --type Withdrawn
    """
    with call.connect() as session:
        session.value(s.SUBSCRIPTION_POSITION, [name])  # raises if there is none
        (before,) = [row for row in session.rows(s.SUBSCRIPTIONS) if row["subscription"] == name]
        filters = {
            "categories": category,
            "types": type,
            "stream_pattern": stream_pattern,
            "metadata": metadata,
            "tags": tag,
        }
        call.out.confirm(
            f"Subscription {name} reads {reads(before)}, and will read {reads(filters)}.", yes=yes
        )
        position = session.value(s.REFILTER_SUBSCRIPTION, [name, *filters.values(), after])
    call.out.done(
        f"Subscription {name} reads {reads(filters)}: new ones after position {position}.",
        subscription=name,
        position=position,
        **filters | {"metadata": metadata and msgspec.Raw(metadata.encode())},
    )


@command("check-messages", panel="The store")
def check_messages(
    call: Call,
    place: Annotated[str, argument("MODULE:OBJECT", "Your store, or a function that returns it.")],
    against: Annotated[
        str | None, option("FILE", "Messages of `pgstore export` or `pgstore read --json`.")
    ] = None,
    last: Annotated[int, option("N", "Of each type in the store, the last N.", least=1)] = 100,
) -> None:
    """Decode stored messages by your code, and list those that it cannot read.

    Those of a file, or the last ones of each type in the program's store. Exits with 1 if there are
    any. The module is imported from the current folder, or wherever Python finds it.

    \b
      pgstore check-messages bank.events:store --against sample.jsonl
    """
    import asyncio

    from pgstore._async.store import AsyncMessageStore
    from pgstore._core.arguments import describe
    from pgstore._sync.store import MessageStore

    found = imported(place)
    if callable(found):
        found = found()
    if isinstance(found, MessageStore):
        with found:
            unreadable = found.check_messages(against, last=last)
    elif isinstance(found, AsyncMessageStore):

        async def checked() -> Any:
            async with found:
                return await found.check_messages(against, last=last)

        unreadable = asyncio.run(checked())
    else:
        raise CommandError(f"{place} is no message store: {describe(found)}", code=USAGE)
    rows = [msgspec.structs.asdict(each) for each in unreadable]
    call.out.rows(rows, _COLUMNS, empty="Your code can read all of them.")
    if unreadable:
        raise typer.Exit(FAILED)
