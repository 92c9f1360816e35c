"""A web console for a store: `pgstore ui`, or a part of your ASGI application; `pgstore[ui]`."""

try:
    import jinja2 as _jinja2
    import starlette as _starlette
    import uvicorn as _uvicorn
except ImportError as error:
    raise ImportError(
        f"pgstore.ui needs Starlette, Jinja2 and uvicorn: pip install 'pgstore[ui]'."
        f" Python says: {error}"
    ) from error

from pgstore.ui.application import app
from pgstore.ui.serving import serve

__all__ = ["app", "serve"]

del _jinja2, _starlette, _uvicorn
