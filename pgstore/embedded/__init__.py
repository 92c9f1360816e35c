"""A PostgreSQL server for programs that have none: see `Server`."""

from pgstore.embedded.server import EmbeddedServerError, Server

__all__ = ["EmbeddedServerError", "Server"]
