"""The files that the pages load, each with its checksum in its address."""

import hashlib
from functools import cache
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parent / "static"

_FOREVER = "public, max-age=31536000, immutable"


class Assets(StaticFiles):
    """Serves the files; a browser asks once for each version of one."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if scope.get("query_string", b"").startswith(b"v="):
            response.headers["Cache-Control"] = _FOREVER
        return response


@cache
def versioned(name: str) -> str:
    """The file's path below the console, with its checksum."""
    digest = hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()[:16]
    return f"/static/{name}?v={digest}"
