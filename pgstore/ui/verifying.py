"""Verifying the store on demand: one job at a time, in a thread, which can be stopped."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from threading import Event
from typing import Any, Literal

import msgspec
import psycopg

import pgstore.transfer as transfer
from pgstore._core.text import one_line

State = Literal["done", "stopped", "failed"]

# Seconds from one try to cancel to the next: one that comes between two statements has no effect.
_PATIENCE = 0.2

_AS_ROLE = "SELECT set_config('role', %s::text, false) WHERE current_user <> %s::text"


class _StoppedError(Exception):
    """The verification was to end."""


class Report(msgspec.Struct, frozen=True):
    """A verification that has ended."""

    state: State
    at: datetime
    seconds: float
    checks: list[transfer.Check] = []  # those that found something wrong come first
    error: str = ""


class Verification:
    """The job, and the findings of the last one."""

    def __init__(self) -> None:
        self.report: Report | None = None
        self.started: datetime | None = None
        self.part = ""
        self.parts = transfer.PARTS
        self._began = 0.0
        self._stop = Event()
        self._conn: psycopg.Connection[Any] | None = None

    @property
    def is_running(self) -> bool:
        """Whether a verification runs now."""
        return self.started is not None

    @property
    def is_stopping(self) -> bool:
        """Whether somebody has stopped it, and it has not ended yet."""
        return self.is_running and self._stop.is_set()

    @property
    def number(self) -> int:
        """The part that it is at, from 1."""
        return self.parts.index(self.part) + 1 if self.part in self.parts else 0

    @property
    def seconds(self) -> float:
        """So long it has run."""
        return time.monotonic() - self._began

    def stop(self) -> None:
        """Have it end soon."""
        self._stop.set()

    async def run(self, connection: Mapping[str, Any], role: str, store: str) -> None:
        """Verify a store on a connection of its own; nothing if that is being done."""
        if self.is_running:
            return
        self._stop.clear()
        self.part, self._began, self.started = "", time.monotonic(), datetime.now(UTC)
        work = asyncio.ensure_future(asyncio.to_thread(self._verify, connection, role, store))
        try:
            while not work.done():
                await asyncio.wait([work], timeout=_PATIENCE)
                await self._cancel()
        finally:
            # The application ends: so does the statement, and its thread with it.
            self._stop.set()
            while not work.done():
                await self._cancel()
                await asyncio.wait([work], timeout=_PATIENCE)
            self.report = work.result()
            self.started = None

    async def _cancel(self) -> None:
        conn = self._conn
        if self._stop.is_set() and conn is not None:
            with suppress(psycopg.Error):  # it has ended meanwhile, or the server is gone
                await asyncio.to_thread(conn.cancel_safe, timeout=2.0)

    def _verify(self, connection: Mapping[str, Any], role: str, store: str) -> Report:
        """In the thread: verify, and report whatever happens."""
        state: State = "done"
        checks: list[transfer.Check] = []
        error = ""
        try:
            found = self._checks(connection, role, store)
            checks = sorted(found, key=lambda each: not each.wrong)
        except Exception as failure:
            ends = (_StoppedError, psycopg.errors.QueryCanceled)
            if self._stop.is_set() and isinstance(failure, ends):
                state = "stopped"
            else:
                state, error = "failed", one_line(str(failure))
        return Report(state, datetime.now(UTC), self.seconds, checks, error)

    def _checks(self, connection: Mapping[str, Any], role: str, store: str) -> list[transfer.Check]:
        with psycopg.connect(
            **{**connection, "application_name": "pgstore ui verify"},
            autocommit=True,
            prepare_threshold=None,  # a pooler may give each transaction another session
        ) as conn:
            self._conn = conn
            try:
                # The console's connections may have set a role of fewer rights.
                conn.execute(_AS_ROLE, (role, role))
                return transfer.verify(conn, store=store, begin=self._begin)
            finally:
                self._conn = None

    def _begin(self, part: str) -> None:
        if self._stop.is_set():
            raise _StoppedError
        self.part = part
