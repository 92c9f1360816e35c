"""A PostgreSQL server for programs that have none: see `Server` and `BackgroundServer`."""

from pgstore.embedded.background import BackgroundServer
from pgstore.embedded.server import EmbeddedServerError, Server

__all__ = ["BackgroundServer", "EmbeddedServerError", "Server"]
