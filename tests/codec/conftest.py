"""What PostgreSQL makes of JSON."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.codec.kinds import AsJsonb


@pytest.fixture(scope="module")
def as_jsonb(server_conninfo: str) -> Iterator[AsJsonb]:
    """The text that PostgreSQL gives for a JSON text that was stored as jsonb."""
    with psycopg.connect(server_conninfo, autocommit=True) as conn:

        def given(text: str) -> str:
            ((back,),) = conn.execute("SELECT (%s::text)::jsonb::text", (text,)).fetchall()
            return str(back)

        yield given
