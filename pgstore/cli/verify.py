"""Checking a store."""

import msgspec
import typer

from pgstore.cli._app import command
from pgstore.cli._call import Call
from pgstore.cli._errors import FAILED
from pgstore.cli._layout import Column

PANEL = "The store"

_COLUMNS = (
    Column("check", least=30),
    Column("checked", right=True),
    Column("wrong", right=True, style=lambda row: "bold red" if row["wrong"] else ""),
    Column("example", least=10),
)


@command("verify", panel=PANEL)
def verify(call: Call) -> None:
    """Check every promise of the store against its tables.

    Reads all messages several times, and keeps nobody waiting. Exits with 1 if anything is wrong.

    \b
      pgstore verify --store bank
    """
    import pgstore.transfer as transfer

    with call.connect(check=False) as session:
        checks = transfer.verify(session.conn, store=call.store)
    call.out.rows(map(msgspec.structs.asdict, checks), _COLUMNS)
    wrong = sum(1 for check in checks if check.wrong)
    if not call.out.json:
        call.out.note(
            f"{wrong} of {len(checks)} checks found something wrong."
            if wrong
            else f"{len(checks)} checks found nothing wrong."
        )
    if wrong:
        raise typer.Exit(FAILED)
