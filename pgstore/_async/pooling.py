"""Whether a pooler gives a server session to each transaction."""

from typing import Any

from psycopg import AsyncConnection

from pgstore._core import findings
from pgstore._core.findings import Finding


async def pooling(conn: AsyncConnection[Any], other: AsyncConnection[Any]) -> Finding:
    """Look through two connections in autocommit mode to the same address."""
    (mark,) = await (await conn.execute(findings.MARK)).fetchall()
    async with other.transaction():
        (theirs,) = await (await other.execute(findings.LOOK)).fetchall()
        (look,) = await (await conn.execute(findings.LOOK)).fetchall()
    return findings.of_pooling(mark, theirs, look, conn.info.backend_pid)
