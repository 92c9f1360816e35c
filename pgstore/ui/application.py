"""The console as an ASGI application."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from pgstore._async.store import AsyncMessageStore
from pgstore._core.arguments import describe
from pgstore._core.log import log
from pgstore._core.text import printable
from pgstore.errors import InvalidArgumentError
from pgstore.ui.assets import FOLDER, Assets
from pgstore.ui.console import Console
from pgstore.ui.pages import Page, View
from pgstore.ui.problems import Refusal, problem_of
from pgstore.ui.sampling import keep_sampling
from pgstore.ui.security import Guard, Rules, same_token
from pgstore.ui.states import Deciders, deciders_of
from pgstore.ui.views import SECTIONS, VIEWS

# Seconds for a page. The pool waits for longer while the server is away.
_PATIENCE = 15.0


def app(
    store: AsyncMessageStore[Any],
    *,
    read_only: bool = False,
    token: str | None = None,
    hosts: Iterable[str] | None = None,
    behind_proxy: bool = False,
    deciders: Deciders | None = None,
) -> Starlette:
    """Make an ASGI application that shows a store, to be served, or mounted below a path.

    It acts with the rights of the store's database role. It does not open or close the store.
    Without `token` and `behind_proxy` it asks nobody for anything: your application, or the address
    that it listens on, must keep others from it.

    Args:
        read_only: refuse every action.
        token: the secret that browsers have to know, 16 characters at least.
        hosts: the names in the address that it answers to; None for all. A console on loopback
            needs it: without it, a page of another site can reach it by a name of its own.
        behind_proxy: believe the headers of a proxy that knows its users, and answer to no request
            without `X-Forwarded-User`.
        deciders: how the messages of a stream make a state: a decider of a store, or a mapping of
            categories to deciders.
    """
    if not isinstance(store, AsyncMessageStore):
        raise InvalidArgumentError(f"store must be an AsyncMessageStore, not {describe(store)}")
    if token is not None and len(token) < 16:
        raise InvalidArgumentError("token must have 16 characters at least")
    console = Console(
        store, read_only=read_only, deciders=deciders_of(deciders, store), sections=SECTIONS
    )
    rules = Rules(
        token=token,
        hosts=None if hosts is None else frozenset(map(str.lower, hosts)),
        behind_proxy=behind_proxy,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        keep_sampling(console)
        try:
            yield
        finally:
            await console.aclose()

    application = Starlette(
        routes=[
            *(_route(console, view) for view in VIEWS),
            Mount("/static", Assets(directory=FOLDER), name="static"),
        ],
        middleware=[Middleware(Guard, console=console, rules=rules)],
        exception_handlers={HTTPException: _handler(console)},
        lifespan=lifespan,
    )
    application.state.end_feeds = console.end_feeds
    return application


def _route(console: Console, view: View) -> Route:
    async def respond(request: Request) -> Response:
        page = Page(console, request)
        try:
            async with asyncio.timeout(_PATIENCE) as limit:
                await _admit(page, view)
                if view.action:  # not cancelled: whether it was done would not be known
                    limit.reschedule(None)
                response = await view.endpoint(page)
            if view.action and view.changes:
                _tell(page, view)
            return response
        except Exception as error:
            if isinstance(error, HTTPException):
                raise
            problem = problem_of(error, console.name)
            if problem.unexpected:
                log.exception("the console failed at %s", view.path)
            return page.problem(problem)

    return Route(view.path, respond, methods=["POST" if view.action else "GET"])


async def _admit(page: Page, view: View) -> None:
    """Refuse what the console, the form or the role does not allow."""
    if view.needs_store:
        page.rights = await page.console.rights()
    if page.console.read_only and (view.asks or (view.action and view.changes)):
        raise Refusal(
            403,
            "This console is read-only",
            "It was started with --read-only, and changes nothing.",
            "Use the command line, or start a console without --read-only.",
        )
    if view.action:
        page.form = await page.read_form()
        if not same_token(page.form.get("form_token", ""), page.form_token):
            raise Refusal(
                403,
                "This form is out of date",
                "It was not made for this browser's session. Nothing was done.",
                "Load the page again, and repeat the action.",
            )
        if view.changes and (once := page.form.get("once")):
            if once in page.console.taken:  # a second rewind would undo what was handled since
                raise Refusal(
                    409,
                    "This form was sent before",
                    "What it asks for was not done a second time.",
                    "See what the first time has done. To do it again, ask for it again.",
                )
            page.console.taken.append(once)
    if missing := [name for name in view.needs if not page.rights.may(name)]:
        raise Refusal.of_rights(missing)


def _tell(page: Page, view: View) -> None:
    """Have the log say what was done, and for whom: the database knows the console's role alone."""
    user = "its user"
    if page.request.state.rules.behind_proxy:
        user = page.request.headers["x-forwarded-user"]
    fields = {name: page.form[name] for name in page.form if name not in ("form_token", "once")}
    log.info("the console did %s %s for %s", view.path, fields, printable(user))


def _handler(console: Console) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def respond(request: Request, error: Exception) -> Response:
        page = Page(console, request)
        if not request.state.is_open:
            with suppress(Exception):  # without its sections the page says as much
                async with asyncio.timeout(_PATIENCE):
                    page.rights = await console.rights()
        return page.problem(problem_of(error, console.name))

    return respond
