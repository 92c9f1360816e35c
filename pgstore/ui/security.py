"""Checks before every page: headers, host names, tokens, and requests of other sites.

Three things keep other sites out. A browser says where a request comes from: `Sec-Fetch-Site`, or
`Origin`. The session's cookie is `SameSite=Lax`: it comes with no form of another site. And each
form has a token made of that cookie, which no other site can read. The name in `Host` keeps out
sites that let a name of theirs lead to this machine.
"""

import hashlib
import hmac
import secrets
from urllib.parse import quote

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pgstore.ui.console import Console
from pgstore.ui.pages import Page
from pgstore.ui.problems import Problem

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# Referrer-Policy is not `no-referrer`: browsers would leave out the Origin of forms.
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}

SESSION = "pgstore_session"


class Rules(msgspec.Struct, frozen=True):
    """The requests that the console answers."""

    token: str | None = None
    hosts: frozenset[str] | None = None
    behind_proxy: bool = False

    def __repr__(self) -> str:
        return f"Rules(hosts={self.hosts!r})"  # without the token

    @property
    def pass_name(self) -> str:
        """The name of that cookie: consoles on other ports of this host have others."""
        return f"pgstore_pass_{hashlib.sha256(self.pass_value.encode()).hexdigest()[:8]}"

    @property
    def pass_value(self) -> str:
        """The value of the cookie of a browser that knew the token: not the token itself."""
        assert self.token is not None
        return hmac.digest(self.token.encode(), b"pgstore ui", "sha256").hex()


def same_token(given: str, known: str) -> bool:
    """Compare two texts in a time that does not depend on where they differ."""
    return hmac.compare_digest(
        hashlib.sha256(given.encode(errors="replace")).digest(),
        hashlib.sha256(known.encode()).digest(),
    )


class Guard:
    """Lets a request through to the application, or answers it."""

    def __init__(self, app: ASGIApp, console: Console, rules: Rules) -> None:
        self._app = app
        self._console = console
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        own_name = _hostname(Headers(scope=scope).get("host", ""))
        scope = self._as_proxied(scope)
        request = Request(scope, receive)
        session, is_new = _session_of(request)
        # A mount within the console changes the root of the scope. A mount's path may have
        # parameters: as it is, a visitor's link could add attributes to the cookies.
        root = scope.get("root_path", "")
        scope["state"] = scope.get("state", {}) | {
            "session": session,
            "rules": self._rules,
            "root": quote(root),
            "path": scope["path"].removeprefix(root),
            "is_open": False,
        }
        answer = self._refusal(request, own_name) or self._entry(request)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
                if is_new and answer is None and not request.state.path.startswith("/static/"):
                    headers.append("Set-Cookie", cookie(request, SESSION, session))
            await send(message)

        await (answer or self._app)(scope, receive, send_guarded)

    def _as_proxied(self, scope: Scope) -> Scope:
        if not self._rules.behind_proxy:
            return dict(scope)
        scope, headers = dict(scope), Headers(scope=scope)
        if (scheme := headers.get("x-forwarded-proto", "").lower()) in ("http", "https"):
            scope["scheme"] = scheme
        if host := headers.get("x-forwarded-host"):
            pairs = [pair for pair in scope["headers"] if pair[0] != b"host"]
            scope["headers"] = [*pairs, (b"host", host.encode("latin-1"))]
        prefix = headers.get("x-forwarded-prefix", "").rstrip("/")
        if prefix.startswith("/") and not prefix.startswith("//"):
            scope["root_path"] = prefix + scope.get("root_path", "")
            scope["path"] = prefix + scope["path"]
        return scope

    def _refusal(self, request: Request, own_name: str) -> Response | None:
        rules = self._rules
        if rules.hosts is not None and own_name not in rules.hosts:
            problem = Problem(
                421,
                "This console has another address",
                "It does not answer to the name in the address bar.",
                f"It answers to {', '.join(sorted(rules.hosts))}.",
            )
        elif rules.behind_proxy and not request.headers.get("x-forwarded-user"):
            problem = Problem(
                403,
                "The proxy has named no user",
                "This console answers only to requests with the header X-Forwarded-User.",
                "Have the proxy ask its users for a password, and set the header.",
            )
        elif _is_foreign(request, rules):
            problem = Problem(
                403,
                "This request comes from another site",
                "Nothing was done.",
                "Open the console in the address bar of the browser.",
            )
        else:
            return None
        return self._page(request, problem)

    def _entry(self, request: Request) -> Response | None:
        """The answer to a browser that has not shown the token."""
        rules, path = self._rules, request.state.path
        # These need no token, and tell nothing of the store.
        if path == "/login" or path.startswith("/static/"):
            request.state.is_open = True
            return None
        if rules.token is None or _bearer_fits(request, rules):
            return None
        if same_token(request.cookies.get(rules.pass_name, ""), rules.pass_value):
            return None
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            asked = path + (f"?{request.url.query}" if request.url.query else "")
            root = request.state.root
            return RedirectResponse(f"{root}/login?next={quote(asked, safe='')}", 303)
        problem = Problem(
            401,
            "This console asks for its token",
            "The request has none that fits.",
            "Send it as “Authorization: Bearer …”, or log in with a browser.",
        )
        response = self._page(request, problem)
        response.headers["WWW-Authenticate"] = "Bearer"
        return response

    def _page(self, request: Request, problem: Problem) -> Response:
        return Page(self._console, request).problem(problem, bare=True)


def cookie(request: Request, name: str, value: str) -> str:
    """A cookie that scripts do not see, and that the browser sends to this console alone.

    With links of other sites too: a colleague's link would ask for the token each time, and begin
    another session, in which the forms of open pages do not fit. No GET changes anything.
    """
    path = request.state.root or "/"
    secure = "; Secure" if request.url.scheme == "https" else ""
    return f"{name}={value}; Path={path}; HttpOnly; SameSite=Lax{secure}"


def _session_of(request: Request) -> tuple[str, bool]:
    given = request.cookies.get(SESSION, "")
    if len(given) == 43 and given.isascii() and given.replace("-", "").replace("_", "").isalnum():
        return given, False
    return secrets.token_urlsafe(32), True


def _hostname(host: str) -> str:
    """The name without the port."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()


def _bearer_fits(request: Request, rules: Rules) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return (
        rules.token is not None
        and scheme.lower() == "bearer"
        and same_token(given.strip(), rules.token)
    )


def _is_foreign(request: Request, rules: Rules) -> bool:
    """Whether a page of another site has made the request."""
    site = request.headers.get("sec-fetch-site")
    if request.method in ("GET", "HEAD"):
        # To follow a link to here, or to type the address, is no attack; to embed something is.
        is_page = request.headers.get("sec-fetch-mode") == "navigate"
        return site in ("cross-site", "same-site") and not is_page
    if site is not None:
        return site != "same-origin"
    if (origin := request.headers.get("origin")) is not None:
        return origin != f"{request.url.scheme}://{request.headers.get('host', '')}"
    # No browser: a program, which has no cookies that another site could use.
    return not _bearer_fits(request, rules)
