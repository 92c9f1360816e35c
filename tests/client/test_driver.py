"""What the stores rely on in psycopg."""

import psycopg

from tests.conftest import Connect


def test_a_notification_that_comes_with_an_answer_is_kept(connect: Connect) -> None:
    """psycopg before 3.2.4 drops it, and a reader that falls asleep would miss the bell."""
    listening, ringing = connect(), connect()
    listening.execute("LISTEN bell")
    for _ in range(2):
        ringing.execute("NOTIFY bell")
        listening.execute("SELECT 1")  # with its answer comes the notification
        assert [each.channel for each in listening.notifies(timeout=30, stop_after=1)] == ["bell"]


async def test_a_notification_that_comes_with_an_answer_is_kept_by_tasks_too(conninfo: str) -> None:
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as listening:
        await listening.execute("LISTEN bell")
        async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as ringing:
            await ringing.execute("NOTIFY bell")
        await listening.execute("SELECT 1")
        kept = [each.channel async for each in listening.notifies(timeout=30, stop_after=1)]
        assert kept == ["bell"]
