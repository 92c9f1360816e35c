"""A subscription as a worker of any language sees it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import uuid4

from tests.sql.store import Connection, Store


class Batch(NamedTuple):
    """Positions of the messages, the checkpoint after all of them, and whether it is a replay."""

    positions: list[int]
    checkpoint: int | None
    parked: bool


class Lease:
    """A partition that was claimed."""

    def __init__(self, store: Store, subscription: str, partition: int, token: int) -> None:
        self._store = store
        self.subscription, self.partition, self.token = subscription, partition, token

    @property
    def key(self) -> tuple[str, int, int]:
        return self.subscription, self.partition, self.token

    def fetch(self, max_count: int = 100, on: Connection | None = None) -> Batch:
        rows = self._store.call("fetch_batch", *self.key, max_count, on=on)
        checkpoint = rows[-1][8] if rows else None
        parked = bool(rows and rows[0][9])
        return Batch([row[3] for row in rows if row[0] is not None], checkpoint, parked)

    def acknowledge(self, checkpoint: int | None, on: Connection | None = None) -> None:
        self._store.call("acknowledge", *self.key, checkpoint, on=on)

    def fail(self, position: int, error: str = "E") -> str:
        ((answer,),) = self._store.call("fail_message", *self.key, position, error)
        return str(answer)

    def settle(self, position: int, on: Connection | None = None) -> None:
        self._store.call("settle_parked", *self.key, position, on=on)

    def release(self) -> bool:
        ((released,),) = self._store.call("release_partition", *self.key)
        return bool(released)

    def extend(self) -> None:
        self._store.call("extend_lease", *self.key)

    def work(self, max_count: int = 100) -> list[int]:
        """Handle everything that it is handed out, and release it; the positions."""
        handled: list[int] = []
        while (batch := self.fetch(max_count)).positions:
            handled += batch.positions
            self.acknowledge(batch.checkpoint)
        self.release()
        return handled


class Subscription:
    """A new subscription, of a category of its own unless told otherwise."""

    def __init__(self, store: Store, **named: Any) -> None:
        self.store = store
        self.name = f"reader-{uuid4().hex[:12]}"
        self.category = f"c{uuid4().hex[:12]}"
        assert self.create(**{"categories": [self.category]} | named)

    def create(self, **named: Any) -> bool:
        ((created,),) = self.store.call("create_subscription", self.name, **named)
        return bool(created)

    def write(self, stream: int = 1, type_: str = "A") -> int:
        """Write a message to a stream that it reads; its position."""
        return self.store.write(f"{self.category}-{stream}", type_, "{}")[1]

    def claim(
        self, lease: str = "1 minute", *, worker: str = "w", on: Connection | None = None
    ) -> Lease | None:
        """A partition that has work, or None if there is none; the store must not be busy."""
        rows = self.store.call("claim_partition", [self.name], worker, lease, on=on)
        if not rows:
            return None
        ((name, partition, token, _),) = rows
        assert name == self.name
        return Lease(self.store, name, partition, token)

    def claimed(self, lease: str = "1 minute") -> Lease:
        claimed = self.claim(lease)
        assert claimed is not None
        return claimed

    def work(self) -> list[int]:
        """Handle everything that is handed out now; the positions."""
        handled: list[int] = []
        while (lease := self.claim()) is not None:
            handled += lease.work()
        return handled

    def position(self) -> int:
        ((position,),) = self.store.call("subscription_position", self.name)
        return int(position)

    def partitions(self) -> list[dict[str, object]]:
        """Its rows of list_partitions."""
        cursor = self.store.query("SELECT * FROM STORE.list_partitions()")
        names = [column.name for column in cursor.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in cursor]
        return [row for row in rows if row["subscription"] == self.name]

    def parked(self) -> list[tuple[int, int, bool, str]]:
        """Position, attempts, whether to be replayed, and error of what is parked."""
        rows = self.store.call("list_parked", self.name)
        return [(row[0], row[6], row[8], row[9]) for row in rows]

    def state(self) -> list[object]:
        """Everything that is stored about it."""
        tables = [
            "subscription_partitions",
            "subscription_heads",
            "subscription_work",
            "parked_messages",
        ]
        return [
            self.store.query(
                f"SELECT t.* FROM STORE.{table} AS t JOIN STORE.subscriptions AS s"
                " USING (subscription_id) WHERE s.subscription = %s ORDER BY 1, 2",
                [self.name],
            ).fetchall()
            for table in tables
        ]

    def expire(self) -> None:
        """Have every lease end, and every pause after a failure, as if time had passed."""
        self.store.query(
            "UPDATE STORE.subscription_partitions AS p"
            " SET leased_until = p.leased_until - 2 * greatest(p.lease, interval '1 second'),"
            " retry_at = p.retry_at - interval '2 hours'"
            " FROM STORE.subscriptions AS s"
            " WHERE s.subscription_id = p.subscription_id AND s.subscription = %s",
            [self.name],
        )

    @contextmanager
    def refused(self, sqlstate: str, **detail: object) -> Iterator[None]:
        """Expect an error, and that nothing has changed."""
        before = self.state()
        with self.store.refused(sqlstate, **detail):
            yield
        assert self.state() == before
