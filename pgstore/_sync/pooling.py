# Generated from pgstore/_async/pooling.py by `python tools/unasync.py`.

"""Whether a pooler gives a server session to each transaction."""

from typing import Any

from psycopg import Connection

from pgstore._core import findings
from pgstore._core.findings import Finding


def pooling(conn: Connection[Any], other: Connection[Any]) -> Finding:
    """Look through two connections in autocommit mode to the same address."""
    (mark,) = conn.execute(findings.MARK).fetchall()
    with other.transaction():
        (theirs,) = other.execute(findings.LOOK).fetchall()
        (look,) = conn.execute(findings.LOOK).fetchall()
    return findings.of_pooling(mark, theirs, look, conn.info.backend_pid)
