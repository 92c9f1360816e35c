"""A connection class for an application's pool, as the docs show it."""

import time
from typing import Any, Self

import psycopg


class PatientConnection(psycopg.Connection[Any]):
    """A connection that is made as soon as the primary is there."""

    @classmethod
    def connect(cls, conninfo: str = "", **options: Any) -> Self:
        end = time.monotonic() + 60
        while True:
            try:
                return super().connect(conninfo, **options)
            except psycopg.OperationalError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.4)
