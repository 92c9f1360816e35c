"""Moving a store from one server to another."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec

from pgstore.cli._app import SERVERS, InDirectory, argument, command, flag, option
from pgstore.cli._call import Call
from pgstore.cli._errors import USAGE, CommandError
from pgstore.cli._layout import Column

# Seconds between two lines of a step, where nobody watches.
_RARELY = 30.0

_FINDINGS = (
    Column("check", least=24),
    Column("found", least=16),
    Column("remedy", least=24, optional=True),
)


@command("move", panel=SERVERS)
def move(
    call: Call,
    moved: Annotated[str, argument("STORE", "The store.")],
    to: Annotated[str, option("CONNINFO", "The database to move it to, for its owner.")],
    directory: InDirectory = None,
    replicate_from: Annotated[
        str | None,
        option(
            "CONNINFO", "How the target's server connects to the source's; as --conninfo by itself."
        ),
    ] = None,
    replace_closed: Annotated[
        bool, flag("Drop the store that is closed there since it moved away.", "--replace-closed")
    ] = False,
    patience: Annotated[
        float,
        option(
            "SECONDS",
            "How long to wait for open transactions, and for the last messages.",
            least=0.1,
            most=600,
        ),
    ] = 10.0,
    dry_run: Annotated[bool, flag("Say what is in the way, change nothing.", "--dry-run")] = False,
    abort: Annotated[bool, flag("Take a move back that was cut off.", "--abort")] = False,
) -> None:
    """Move a store to another server while it is used.

    The store stays open while it is copied. Then it is closed for some tenths of a second, and
    opened at the new place. A move that ends before, by Ctrl-C or an error, leaves it open where it
    was; one that was killed can leave it closed. It continues when it is run again; until the
    store is open at the new place, --abort takes it back.

    \b
      pgstore move bank --to postgresql://db2/shop --dry-run
      pgstore move bank --to postgresql://db2/shop
    """
    import pgstore.transfer as transfer
    from pgstore import Directory

    if dry_run and abort:
        raise CommandError("--dry-run and --abort exclude one another", code=USAGE)
    listed = None if directory is None else Directory(directory)
    steps: set[str] = set()
    with (
        _interrupted(),
        _progress(call, steps) as told,
        transfer.Move(
            call.target.conninfo,
            to,
            store=moved,
            directory=listed,
            replicate_from=replicate_from,
            replace_closed=replace_closed,
            patience=patience,
            progress=told,
        ) as found,
        _unfinished(call, found, steps),
    ):
        if dry_run:
            _tell_findings(call, found.check())
            return
        if abort:
            found.abort()
        else:
            found.run()
    source, target = found.source.place, found.target.place
    said = f"is at {target}; it stays closed at {source}"
    if abort:
        said = f"is open at {source}; what was copied is gone"
    call.out.done(
        f"Store {moved} {said}.",
        store=moved,
        conninfo=source if abort else target,
        moved=not abort,
    )
    if listed is None and not abort:
        call.out.note("No directory was given: tell the programs of the store its new place.")


def _tell_findings(call: Call, findings: list[Any]) -> None:
    wrong = [each for each in findings if each.wrong]
    rows = [
        msgspec.structs.asdict(each) | {"remedy": each.remedy if each.wrong else None}
        for each in findings
    ]
    call.out.rows(rows, _FINDINGS)
    if wrong:
        raise CommandError(f"in the way of the move: {wrong[0].check}", hint=wrong[0].remedy)


@contextmanager
def _interrupted() -> Iterator[None]:
    """End by SIGTERM and by the loss of the terminal as by Ctrl-C: the store is opened again."""
    kinds = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(each, signal.default_int_handler) for each in kinds]
    try:
        yield
    finally:
        for each, handler in zip(kinds, before, strict=True):
            signal.signal(each, handler)


@contextmanager
def _unfinished(call: Call, found: Any, steps: set[str]) -> Iterator[None]:
    """Say what to do about a move that has begun and ends before its end."""
    try:
        yield
    except BaseException:
        if "switch" in steps:
            call.out.note(
                f"Store {found.store} is open at {found.target.place}. The move is not finished:"
                " run it again."
            )
        elif steps:
            call.out.note(
                f"The move of store {found.store} is not finished: it continues when it is run"
                " again, and --abort takes it back. Until then the source can keep its write-ahead"
                " log for it."
            )
        raise


@contextmanager
def _progress(call: Call, steps: set[str]) -> Iterator[Callable[[str, str], None]]:
    """Show the step of a move, and note those that have begun."""
    with _shown(call) as shown:

        def tell(step: str, detail: str) -> None:
            steps.add(step)
            shown(step, detail)

        yield tell


@contextmanager
def _shown(call: Call) -> Iterator[Callable[[str, str], None]]:
    """Show the step of a move on stderr: a bar on a terminal, a line a step otherwise."""
    if call.out.json:
        yield lambda step, detail: None
        return
    if not call.out.notes.is_terminal or call.out.notes.is_dumb_terminal:
        yield _lines(call)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from pgstore.transfer import STEPS

    columns = (
        TextColumn("{task.description:8}"),
        BarColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=call.out.notes, transient=True) as bar:
        task = bar.add_task(STEPS[0], total=len(STEPS), detail="")
        yield lambda step, detail: bar.update(
            task, description=step, completed=STEPS.index(step), detail=detail
        )


def _lines(call: Call) -> Callable[[str, str], None]:
    """A line when a step begins, and how far it is each half minute."""
    last, told = "", 0.0

    def tell(step: str, detail: str) -> None:
        nonlocal last, told
        if step != last or time.monotonic() > told + _RARELY:
            call.out.note(f"{step}: {detail}" if step == last else step)
            last, told = step, time.monotonic()

    return tell
