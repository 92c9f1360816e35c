"""The page that asks for the console's token, where it has one."""

import asyncio

from starlette.responses import Response

from pgstore.ui.pages import Page, View
from pgstore.ui.security import cookie, same_token

# A program that guesses tokens waits so long for each answer.
_PAUSE = 0.5


async def ask(page: Page) -> Response:
    return page.render("login.html", next=_inside(page.exact("next")), wrong=False)


async def enter(page: Page) -> Response:
    rules, next = page.request.state.rules, _inside(page.form.get("next", ""))
    if rules.token is None:
        return page.redirect("/")
    if not same_token(page.form.get("token", "").strip(), rules.token):
        await asyncio.sleep(_PAUSE)
        return page.render("login.html", 403, next=next, wrong=True)
    response = page.redirect(next)
    response.headers.append("Set-Cookie", cookie(page.request, rules.pass_name, rules.pass_value))
    return response


def _inside(address: str) -> str:
    """An address of this console, whatever the link says."""
    is_path = address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if is_path and address.isprintable() else "/"


VIEWS = [
    View("/login", ask, needs_store=False),
    View("/login", enter, action=True, changes=False, needs_store=False),
]
