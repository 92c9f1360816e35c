"""A web console for a store: `pgstore ui`, or a part of your ASGI application; `pgstore[ui]`."""

try:
    import jinja2 as _jinja2
    import starlette as _starlette
except ImportError as error:
    raise ImportError(
        f"pgstore.ui needs Starlette and Jinja2: pip install 'pgstore[ui]'. Python says: {error}"
    ) from error

from pgstore.ui.application import app

__all__ = ["app"]

del _jinja2, _starlette
