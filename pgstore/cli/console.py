"""The web console."""

import os
import socket
import sys
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

from pgstore.cli._app import command, flag, option
from pgstore.cli._call import Call
from pgstore.cli._errors import USAGE, CommandError
from pgstore.cli.running import imported, log_on_stderr

if TYPE_CHECKING:
    from starlette.applications import Starlette

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@command("ui", panel="Operations")
def ui(
    call: Call,
    host: Annotated[str, option("ADDRESS", "The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, option("PORT", "0 for any that is free.", least=0, most=65535)] = 7654,
    read_only: Annotated[bool, flag("Refuse every action.", "--read-only")] = False,
    app: Annotated[
        str | None,
        option(
            "MODULE:OBJECT",
            "A decider or repository of your program, or a dict of them by category: shows"
            " the states of streams.",
        ),
    ] = None,
    token: Annotated[
        str | None,
        option("TOKEN", "The secret that a browser has to know; better in PGSTORE_UI_TOKEN."),
    ] = None,
    behind_proxy: Annotated[
        bool, flag("Believe the X-Forwarded headers of your proxy.", "--behind-proxy")
    ] = False,
    host_name: Annotated[
        list[str] | None, option("NAME", "Another name in the address that it answers to.")
    ] = None,
    no_open: Annotated[bool, flag("Open no browser.", "--no-open")] = False,
) -> None:
    """Open a web console on the store, until Ctrl-C.

    It acts with the rights of the database role that it connects as. It listens on loopback. On
    another address it demands a token, or --behind-proxy: then it answers to requests with the
    header X-Forwarded-User alone, which your proxy has to set, and to take from others.

    \b
      pgstore ui
      pgstore ui --read-only --app bank.accounts:accounts
      PGSTORE_UI_TOKEN=… pgstore ui --host 0.0.0.0 --no-open
    """
    import asyncio

    try:
        from pgstore import ui as console
    except ImportError as error:
        raise CommandError(
            f"the console takes packages that are not installed: {error.name}",
            hint="pip install 'pgstore[ui]'",
        ) from None

    token = token or os.environ.get("PGSTORE_UI_TOKEN") or None
    if host not in _LOOPBACK and token is None and not behind_proxy:
        raise CommandError(
            f"anybody who reaches {host} could use the console",
            code=USAGE,
            hint="set PGSTORE_UI_TOKEN, or give --behind-proxy",
        )
    log_on_stderr()
    deciders = None if app is None else imported(app)
    names = list(host_name or ())
    if host in _LOOPBACK or behind_proxy or names:
        names += map(_shown, _LOOPBACK)
    listening = _listening(host, port)
    where = f"http://{_shown(host)}:{listening.getsockname()[1]}"

    def made(store: Any) -> "Starlette":
        return console.app(
            store,
            read_only=read_only,
            token=token,
            hosts=names or None,
            behind_proxy=behind_proxy,
            deciders=deciders,
        )

    def ready() -> None:
        call.out.note(f"The console of {call.store} is at {where}; Ctrl-C ends it.")
        if not no_open and _has_screen():
            webbrowser.open(where)  # the socket listens: the page waits until it is served

    with listening:
        asyncio.run(_serve(call, made, listening, ready))
    call.out.note("Ended.")


async def _serve(
    call: Call,
    made: Callable[[Any], "Starlette"],
    listening: socket.socket,
    ready: Callable[[], None],
) -> None:
    from pgstore._async.store import AsyncMessageStore
    from pgstore._core.messages import RawMessage
    from pgstore.errors import StandbyError
    from pgstore.ui import serve

    store = AsyncMessageStore[RawMessage](
        call.target.conninfo, messages=RawMessage, store=call.store, create=call.target.embedded
    )
    application = made(store)  # refuses what was given wrong before it connects
    async with store:
        with suppress(StandbyError):  # pages tell
            await store.safe_position()  # an error here is the command's
        await serve(application, listening, ready)


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens; an error says which port to change."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        made = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise CommandError(
            f"cannot listen on {host}:{port}: {error.strerror}", hint="give another --port"
        ) from None
    made.set_inheritable(True)
    return made


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _has_screen() -> bool:
    """Whether a browser would have a window: another one would take the terminal."""
    return sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
