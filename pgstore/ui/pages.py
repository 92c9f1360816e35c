"""Views, and the page that a view gets and answers with."""

import hmac
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode
from uuid import UUID

import jinja2
import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from pgstore._core.text import printable
from pgstore.ui import formats
from pgstore.ui.assets import versioned
from pgstore.ui.console import Console, Rights
from pgstore.ui.problems import Problem, Refusal

# Of a form: a subscription's name and some numbers.
_LARGEST_FORM = 65536

_LARGEST, _DIGITS = 2**63 - 1, 19


class View(msgspec.Struct, frozen=True):
    """An address of the console and the function that answers.

    `needs` names the functions and views of the store that it uses: a role that may not use them
    gets a page that says so, and no link leads there. An `action` is a form that was sent: its
    token is compared, and a read-only console refuses it unless it `changes` nothing. A page that
    `asks` whether to do one is refused with it. One with a `title` is in the navigation.
    """

    path: str
    endpoint: Callable[["Page"], Awaitable[Response]]
    needs: tuple[str, ...] = ()
    action: bool = False
    changes: bool = True
    asks: bool = False
    needs_store: bool = True
    title: str = ""


class Page:
    """A request, and how to answer it."""

    def __init__(self, console: Console, request: Request) -> None:
        self.console = console
        self.request = request
        self.rights = Rights()
        self.form: dict[str, str] = {}

    # The address.

    def text(self, name: str) -> str:
        """A value in the address, without spaces around it; empty if it is not there."""
        return self.request.query_params.get(name, "").strip()

    def exact(self, name: str) -> str:
        """A value in the address as it is: a stream's name may begin with a space."""
        return self.request.query_params.get(name, "")

    def several(self, name: str) -> list[str]:
        """The values in the address that commas divide."""
        return [each.strip() for each in self.text(name).split(",") if each.strip()]

    def number(self, name: str, default: int | None = None) -> int | None:
        """A number in the address."""
        if not (given := self.text(name)):
            return default
        if (found := number_of(given)) is None:
            raise Refusal.of_argument(f"{name} is a number from 0 on, not {printable(given[:100])}")
        return found

    def message_id(self, name: str) -> UUID | None:
        """The id of a message in the address."""
        if not (given := self.text(name)):
            return None
        try:
            return UUID(given)
        except ValueError:
            raise Refusal.of_argument(f"{printable(given[:100])} is no message id.") from None

    def moment(self, name: str) -> datetime | None:
        """A time in the address: with an offset, or in the zone whose minutes the page has sent."""
        if not (given := self.text(name)):
            return None
        try:
            moment = datetime.fromisoformat(given)
            if moment.tzinfo is None:
                zone = timedelta(minutes=int(self.text("zone") or 0))
                moment = (moment - zone).replace(tzinfo=UTC)
            return moment.astimezone(UTC)
        except (ValueError, OverflowError):
            raise Refusal.of_argument(
                f"{name} is a time such as 2026-03-01T12:00, not {printable(given[:100])}"
            ) from None

    def url(self, path: str, /, **query: object) -> str:
        """An address of the console; values that are None or empty are left out."""
        root = self.request.state.root
        given = {name: each for name, each in query.items() if each not in (None, "")}
        return f"{root}{path}" + (f"?{urlencode(given, quote_via=quote)}" if given else "")

    def again(self, /, **changes: object) -> str:
        """The address of this page with other values."""
        return self.url(self.request.state.path, **(dict(self.request.query_params) | changes))

    @property
    def is_fragment(self) -> bool:
        """Whether htmx asks for a part of a page."""
        return self.request.headers.get("hx-request") == "true"

    # Forms.

    @property
    def form_token(self) -> str:
        """The value that each form of this browser's session carries."""
        session = self.request.state.session
        return hmac.digest(session.encode(), b"pgstore ui form", "sha256").hex()

    @property
    def once(self) -> str:
        """A value that no other form has: the console takes a form once."""
        return secrets.token_urlsafe(12)

    async def read_form(self) -> dict[str, str]:
        """The fields of a form that was sent."""
        body = b""
        async for part in self.request.stream():
            body += part
            if len(body) > _LARGEST_FORM:
                raise Refusal.of_argument("The form is too large.")
        try:
            return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=100))
        except ValueError:
            raise Refusal.of_argument("The form cannot be read.") from None

    # Answers.

    def may(self, *names: str) -> bool:
        """Whether the role may use these functions and views."""
        return self.rights.may(*names)

    def may_act(self, *names: str) -> bool:
        """Whether an action by these functions is possible: then its button is there."""
        return not self.console.read_only and self.rights.may(*names)

    def render(self, template: str, status: int = 200, /, **values: Any) -> Response:
        """Answer with a template, which gets these values and the page."""
        # The parts of the console that the role may see.
        sections = [each for each in self.console.sections if self.may(*each.needs)]
        html = (
            _templates()
            .get_template(template)
            .render(page=self, url=self.url, sections=sections, **values)
        )
        return HTMLResponse(html, status)

    def redirect(self, path: str, /, **query: object) -> Response:
        """Send the browser to another page, after an action or to a better address."""
        address = self.url(path, **query)
        if self.is_fragment:
            return Response(status_code=204, headers={"HX-Redirect": address})
        return RedirectResponse(address, 303)

    def problem(self, problem: Problem, *, bare: bool = False) -> Response:
        """Answer with what went wrong; `bare` if nobody may know what store this is."""
        template = "problem_part.html" if self.is_fragment else "problem.html"
        return self.render(template, problem.status, problem=problem, bare=bare)

    def asset(self, name: str) -> str:
        """The address of a file in static/."""
        return str(self.request.state.root) + versioned(name)

    @property
    def now(self) -> datetime:
        """The time of this page."""
        return datetime.now(UTC)


def number_of(text: str) -> int | None:
    """The number from 0 on, of 64 bits, that a text is; None if it is none."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= _DIGITS
    return int(text) if is_number and int(text) <= _LARGEST else None


@cache
def _templates() -> jinja2.Environment:
    """The templates, compiled once; every value is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= formats.FILTERS
    return environment
