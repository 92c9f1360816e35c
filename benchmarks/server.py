"""The servers that are measured: the embedded one, which listens on a loopback address too."""

import random
import sys

from psycopg.conninfo import make_conninfo

from pgstore import embedded

SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "2GB",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "max_connections": "300",
    "log_min_messages": "panic",
}
"""The same for all: durable, and neither a checkpoint nor autovacuum while something is measured.
Each database is vacuumed, analyzed and checkpointed before each of its rounds instead."""


class Server(embedded.Server):
    """A server for the benchmark, on a Unix socket and on TCP; anyone on this machine may connect.

    Only on Linux are all addresses of 127.0.0.0/8 there: elsewhere its port can be in use.
    """

    def __init__(self, **settings: str) -> None:
        super().__init__(settings=SETTINGS | settings)
        several = sys.platform == "linux"
        numbers = (random.randint(1, 254) for _ in range(2))
        self.address = "127.77.{}.{}".format(*numbers) if several else "127.0.0.1"

    def over_tcp(self, dbname: str, options: str = "") -> str:
        """A connection string that does not use the socket."""
        return make_conninfo(
            host=self.address, port="5432", user="postgres", dbname=dbname, options=options or None
        )

    def _pg_ctl(self, action: str, *arguments: str) -> bool:
        """As the embedded server, whose own options allow a Unix socket only."""
        closed, listening = "listen_addresses=", f"listen_addresses={self.address}"
        return super()._pg_ctl(
            action,
            *(each.replace(f"{closed} ", f"{listening} ") for each in arguments),
        )
