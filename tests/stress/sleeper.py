"""A process that follows a store, and sleeps without looking by itself until it is woken."""

import asyncio
import logging

import psycopg
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore._async import waker as async_waker
from pgstore._sync import waker
from tests.stress.messages import Noted
from tests.stress.processes import Pipe

APPLICATION = "stress sleeper"
_NEVER = 3600.0


def sleep(
    pipe: Pipe, conninfo: str, name: str, after_position: int, kind: str, restless: bool
) -> None:
    """Send the position of each message that it gets, by `follow` of the kind `sync` or `async`.

    A restless one gets up whenever a writer rings, and goes back to bed, where others sleep on.
    """
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    logging.getLogger("pgstore").setLevel(logging.CRITICAL)
    waker._FALLBACK_POLL = async_waker._FALLBACK_POLL = _NEVER
    # Awake for so short a time after it, all of them would hardly ever be awake at once.
    waker._AFTER_YOU = async_waker._AFTER_YOU = 0.0
    if restless:
        waker._RINGS = async_waker._RINGS = 1
    conninfo = make_conninfo(conninfo, application_name=APPLICATION)
    if kind == "async":
        asyncio.run(_sleep(pipe, conninfo, name, after_position))
        return
    with (
        pgstore.MessageStore(conninfo, store=name, messages=Noted, create=False) as store,
        store.follow(after_position=after_position) as messages,
    ):
        for each in messages:
            pipe.send(each.global_position)


async def _sleep(pipe: Pipe, conninfo: str, name: str, after_position: int) -> None:
    async with (
        pgstore.AsyncMessageStore(conninfo, store=name, messages=Noted, create=False) as store,
        store.follow(after_position=after_position) as messages,
    ):
        async for each in messages:
            pipe.send(each.global_position)


# The wrong versions. Each was tried, and each is a function of the store put in its place.


def make_wrong(conninfo: str, name: str, version: str) -> None:
    """Put one of the wrong ideas of `WRONG` into a store."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(f"SET search_path = {name}, pg_temp".encode())
        for statement in WRONG[version]:
            conn.execute(statement.encode())


_FUNCTION = """
CREATE OR REPLACE FUNCTION {signature}
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path FROM CURRENT
AS $$ {body} $$
"""


def _function(signature: str, body: str) -> str:
    return _FUNCTION.replace("{signature}", signature).replace("{body}", body)


_ROLE = 16  # beside the keys that writers test

WRONG = {
    # Who does not get the role relies on the one that has it.
    "one sleeper for all": [
        _function(
            "fall_asleep(backend_pid integer DEFAULT NULL,"
            " OUT safe_position bigint, OUT in_flight boolean) RETURNS record",
            f"""
            BEGIN
              IF pg_try_advisory_lock(_bell_lock_class(), {_ROLE}) THEN
                PERFORM pg_advisory_lock_shared(_bell_lock_class(), k)
                FROM generate_series(0, 15) AS k;
              END IF;
              SELECT h.safe_position, h.in_flight INTO safe_position, in_flight
              FROM horizon() AS h;
            END
            """,
        ),
        _function(
            "wake_up(backend_pid integer DEFAULT NULL,"
            " OUT safe_position bigint, OUT in_flight boolean) RETURNS record",
            """
            BEGIN
              PERFORM CASE l.mode
                WHEN 'ShareLock' THEN pg_advisory_unlock_shared(l.classid::int, l.objid::int)
                ELSE pg_advisory_unlock(l.classid::int, l.objid::int)
              END
              FROM (
                SELECT l.mode, l.objid, l.classid::bigint::bit(32)::int AS classid
                FROM pg_locks AS l
                WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.pid = pg_backend_pid()
                ORDER BY l.objid::bigint
              ) AS l;
              SELECT h.safe_position, h.in_flight INTO safe_position, in_flight
              FROM horizon() AS h;
            END
            """,
        ),
    ],
    # Between the two a reader falls asleep, and sees neither mark nor message.
    "bell before mark": [
        _function(
            "_enter_flight() RETURNS boolean",
            """
            DECLARE
              own integer := pg_backend_pid() % 16;
              nobody_sleeps boolean := pg_try_advisory_lock(_bell_lock_class(), own)
                AND pg_advisory_unlock(_bell_lock_class(), own);
            BEGIN
              PERFORM pg_sleep(random() * 0.03);  -- as the scheduler may, only more often
              PERFORM pg_advisory_xact_lock_shared(
                _mark_lock_class(), pg_sequence_last_value('global_position_seq')::bit(32)::integer
              );
              RETURN nobody_sleeps;
            END
            """,
        )
    ],
    # A writer that has its mark but not yet its position is in flight too.
    "nobody without a position": [
        """
        DO $do$
        BEGIN
          EXECUTE replace(
            pg_get_functiondef('horizon'::regproc),
            'in_flight := lowest IS NOT NULL',
            'in_flight := safe_position < last_position'
          );
        END
        $do$
        """
    ],
}
