"""Writing messages to a stream."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import psycopg

from pgstore._async.database import AsyncDatabase
from pgstore._async.global_reader import AsyncGlobalReader
from pgstore._async.grouping import AsyncGrouping
from pgstore._async.waker import AsyncWaker
from pgstore._compat.joining import AsyncConn
from pgstore._core import statements as s
from pgstore._core.arguments import due_times, name_of, number, several, uuid_text
from pgstore._core.codec import Codec, message_id_text
from pgstore._core.encoding import encoded_batch, encoded_tags, known_ids
from pgstore._core.messages import E, MessagePosition
from pgstore._core.metadata import Metadata, text_in_context
from pgstore._core.parameters import MOST_DELIVERED
from pgstore._core.tags import AppendCondition, condition_texts, tags_text
from pgstore._core.translation import is_lost_connection


class AsyncWriter(AsyncGlobalReader[E]):
    """A store to write to and to read; see `AsyncMessageStore`."""

    def __init__(
        self,
        database: AsyncDatabase,
        codec: Codec[E],
        waker: AsyncWaker,
        grouping: AsyncGrouping | None,
    ) -> None:
        super().__init__(database, codec, waker)
        self._grouping = grouping

    async def write(
        self,
        stream: str,
        message: E,
        *,
        expected_version: int | None = None,
        metadata: Metadata | None = None,
        tags: Iterable[str] | None = None,
        unless: AppendCondition | None = None,
        conn: AsyncConn | None = None,
    ) -> MessagePosition:
        """Append a message to a stream, in one round trip.

        The message's id is what its `get_message_id()` returns, if it has one; otherwise a new
        UUIDv7. Writing a message again with the same id, to the same place, stores nothing and
        returns the first answer. Its tags are those of the fields that its class names in
        `tags_from`, those that its `get_tags()` returns, and those given.

        Args:
            expected_version: None writes in any case, 0 only if the stream is empty, n only if it
                is at version n.
            metadata: a JSON object to keep beside the message, over the values of the
                `message_context` around the call.
            tags: at most 32, of 1 to 255 bytes.
            unless: write only if no message has come that the query of this condition looks for;
                `read_tagged` returns one.
            conn: join the transaction of this connection, of psycopg, SQLAlchemy or Django (there a
                session too); nothing is committed here.

        Raises:
            OptimisticConcurrencyError: the stream is at another version.
            AppendConditionError: such a message has come.
            MessageIdInUseError: another message has this id.
            InvalidArgumentError: an argument is not what it should be.
        """
        if type(stream) is not str:
            name_of("stream", stream)
        type_name, data = self._codec.encode(message)
        parameters = (
            stream,
            type_name,
            data.decode(),
            text_in_context(metadata),
            number("expected_version", expected_version),
            message_id_text(message),
        )
        found_tags = tags_text(message, tags)
        if found_tags is not None or unless is not None:
            tagged = (*parameters, found_tags, *condition_texts(unless, self._codec))
            ((version, position),) = await self._database.rows(s.WRITE_TAGGED, tagged, conn)
        elif self._grouping is not None and conn is None:
            version, position = await self._grouping.write(parameters)
        else:
            ((version, position),) = await self._database.rows(s.WRITE, parameters, conn)
        return MessagePosition(stream, version, position)

    async def write_many(
        self,
        stream: str,
        messages: Iterable[E],
        *,
        expected_version: int | None = None,
        metadata: Metadata | Sequence[Metadata | None] | None = None,
        tags: Iterable[str] | None = None,
        unless: AppendCondition | None = None,
        conn: AsyncConn | None = None,
    ) -> MessagePosition:
        """Append several messages to a stream, all or nothing, in one round trip.

        They get consecutive versions; `expected_version` is that of the stream before the first.
        `metadata` is one object for all, or a sequence with one or None for each. `tags` are for
        all. Returns the last message's position; `positions` has those of the others. Otherwise as
        `write`.
        """
        batch = several("messages", messages) or ()
        arrays, message_ids = encoded_batch(self._codec, batch, metadata)
        parameters = (
            name_of("stream", stream),
            *arrays,
            number("expected_version", expected_version),
            message_ids,
        )
        found_tags = encoded_tags(batch, tags)
        if found_tags is not None or unless is not None:
            condition = condition_texts(unless, self._codec)
            ((version, position),) = await self._database.rows(
                s.WRITE_ARRAYS_TAGGED, (*parameters, found_tags, *condition), conn
            )
        else:
            ((version, position),) = await self._database.rows(s.WRITE_ARRAYS, parameters, conn)
        return MessagePosition(stream, version, position)

    async def synchronize(
        self,
        stream: str,
        messages: Sequence[E],
        *,
        expected_version: int,
        metadata: Metadata | None = None,
        tags: Iterable[str] | None = None,
        conn: AsyncConn | None = None,
    ) -> MessagePosition:
        """Make a stream hold exactly these messages, of which it has the first ones already.

        For an aggregate that keeps all its messages: the first `expected_version` ones must be
        those stored, by their ids, and the rest is written, with these `metadata` and `tags`. Every
        message needs a `get_message_id()`. Returns the last message's position; 0 and 0 if there is
        none.

        Raises:
            MessageIdMismatchError: the stored messages have other ids.
            OptimisticConcurrencyError: the stream is not at `expected_version`; but if the rest is
                what it already holds after that, the first answer is returned again.
        """
        all_messages = several("messages", messages) or ()
        known = known_ids(all_messages, expected_version)
        first = len(known.elements)
        new = all_messages[first:]
        arrays, message_ids = encoded_batch(self._codec, new, metadata, first)
        ((version, position),) = await self._database.rows(
            s.SYNCHRONIZE,
            (
                name_of("stream", stream),
                known,
                *arrays,
                message_ids,
                encoded_tags(new, tags, first),
            ),
            conn,
        )
        return MessagePosition(stream, version, position)

    async def schedule(
        self,
        stream: str,
        message: E,
        due: datetime | timedelta,
        *,
        metadata: Metadata | None = None,
        tags: Iterable[str] | None = None,
        message_id: UUID | None = None,
        conn: AsyncConn | None = None,
    ) -> UUID:
        """Keep a message that is written to a stream later; return its id.

        It is written, once, by `deliver_scheduled`, or by a `run` with `scheduled=True`. Its
        `added_at` is the time when it is written. Scheduling the same message with the same id
        again changes nothing, also after it was written.

        Args:
            due: a time, aware of its zone, or how long from now by the server's clock.
            metadata, tags: as in `write`.
            message_id: the id that it will have; None as in `write`.
            conn: join the transaction of this connection, of psycopg, SQLAlchemy or Django (there a
                session too); nothing is committed here.

        Raises:
            MessageIdInUseError: another message has this id, or will have it.
            InvalidArgumentError: an argument is not what it should be.
        """
        name_of("stream", stream)
        at, after = due_times("due", due)
        type_name, data = self._codec.encode(message)
        new_id = (
            message_id_text(message) if message_id is None else uuid_text("message_id", message_id)
        )
        what = (stream, type_name, data.decode())
        more = (text_in_context(metadata), new_id, tags_text(message, tags))
        await self._database.rows(s.SCHEDULE_MESSAGE, (*what, at, after, *more), conn)
        return UUID(new_id)

    async def cancel(self, message_id: UUID, *, conn: AsyncConn | None = None) -> bool:
        """Forget a scheduled message; False if it was written already, or never scheduled.

        Raises:
            psycopg.OperationalError: the connection was lost, and nothing tells whether this call
                or a delivery came first.
        """
        parameters = (uuid_text("message_id", message_id),)
        try:
            ((cancelled,),) = await self._database.rows(
                s.CANCEL_MESSAGE, parameters, conn, repeatable=False
            )
        except psycopg.OperationalError as error:
            if conn is not None or not is_lost_connection(error):
                raise
            ((cancelled,),) = await self._database.rows(s.CANCEL_MESSAGE, parameters)
            if not cancelled:  # perhaps by the first call, whose answer was lost
                raise
        return bool(cancelled)

    async def deliver_scheduled(self, *, due_by: datetime | timedelta | None = None) -> int:
        """Write the scheduled messages that are due to their streams; return how many.

        In the order of their times. Left for the next call are those to streams that an open
        transaction writes to. `run` does this with `scheduled=True`, whenever one is due.

        Args:
            due_by: write those that are due by this time, as in `schedule`: for tests. Otherwise
                now.
        """
        times = (None, None) if due_by is None else due_times("due_by", due_by)
        total = 0
        while True:
            delivered: int
            ((delivered, _),) = await self._database.rows(
                s.DELIVER_SCHEDULED, (str(MOST_DELIVERED), *times)
            )
            if not delivered:
                return total
            total += delivered
