"""Names for the shell to complete: from the server, quickly or not at all.

They come from functions that need the right to read or, for subscriptions, to consume.
"""

import re
from collections.abc import Callable
from contextlib import suppress

import typer

from pgstore._core import statements as s
from pgstore.cli._target import find_given, store_name

_MOST = 100
# Shells take what is offered as part of the command, and zsh evaluates it: names that would be
# an option, or more than a word to a shell, are not offered.
_OFFERED = re.compile(r"\w[\w.,:@%+/-]*")
_PATIENCE_MS = 1000


def _conninfo(given: str | None) -> str:
    if found := find_given(given):
        return found.conninfo
    from pgstore.cli import _embedded

    return _embedded.server().conninfo


def _completed(statement: str) -> Callable[[typer.Context, str], list[str]]:
    def names(ctx: typer.Context, incomplete: str) -> list[str]:
        import psycopg

        from pgstore._core.quoting import Statements
        from pgstore.cli._call import Session, Settings

        found: list[str] = []
        with suppress(Exception):  # a shell that asks for names is not the place for errors
            settings = Settings()
            for each in (ctx.parent, ctx):
                given = each.params if each is not None else {}
                settings = settings.changed(
                    conninfo=given.get("conninfo"), store=given.get("store")
                )
            store = store_name(settings.store)
            with psycopg.connect(
                _conninfo(settings.conninfo),
                autocommit=True,
                connect_timeout=2,
                options=f"-c statement_timeout={_PATIENCE_MS}",
            ) as conn:
                rows = Session(conn, Statements(store)).rows(
                    statement, {"prefix": incomplete, "most": _MOST}
                )
                found = [name for row in rows for name in row.values() if _OFFERED.fullmatch(name)]
        return found

    return names


streams = _completed(s.STREAMS_LIKE)
categories = _completed(s.CATEGORIES_LIKE)
types = _completed(s.TYPES_LIKE)
subscriptions = _completed(s.SUBSCRIPTIONS_LIKE)
