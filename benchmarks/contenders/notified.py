"""Plain tables with NOTIFY in every write: the usual way to wake readers, and its limit."""

from benchmarks.contenders.contract import Client, Handle, Stop
from benchmarks.contenders.raw import INSERT, POSITION, Raw, RawClient, stored
from benchmarks.payload import Deposited, decode

NOTIFYING = f"WITH written AS ({INSERT} RETURNING 1) SELECT pg_notify('written', '') FROM written"
ECHO = (
    f"WITH written AS ({INSERT} RETURNING data) SELECT pg_notify('echo', data::text) FROM written"
)


class Notified(Raw):
    name = "notified"
    title = "INSERT and NOTIFY"
    setting = "INSERT and NOTIFY in one transaction; readers LISTEN, and read when notified."
    lacks = {}  # noqa: RUF012
    only = frozenset({"latency", "consumers"})
    global_order = None

    def script(self, streams: int) -> str:
        return f"{super().script(streams).rstrip().rstrip(';')} RETURNING pg_notify('written', '');"

    def client(self, conninfo: str) -> Client:
        return NotifiedClient(conninfo)


class NotifiedClient(RawClient):
    def write(self, stream: str, fact: Deposited) -> None:
        self.conn.execute(NOTIFYING, self._row(stream, fact), prepare=True)

    def consume(
        self, name: str, handle: Handle, stop: Stop, category: str | None, partitions: int
    ) -> None:
        self.conn.execute("LISTEN written")
        position = self._checkpoint(name)
        while not stop.is_set():
            while rows := self._after(position, category):
                position = rows[-1][POSITION]
                handle([stored(row) for row in rows])
                if stop.is_set():
                    return
            for _ in self.conn.notifies(timeout=0.2, stop_after=1):
                pass


class Echo(Raw):
    name = "echo"
    title = "limit: LISTEN/NOTIFY echo"
    setting = (
        "INSERT and NOTIFY in one transaction; the event is the notification, nothing is read."
    )
    lacks = {}  # noqa: RUF012
    only = frozenset({"latency"})
    global_order = None

    def client(self, conninfo: str) -> Client:
        return EchoClient(conninfo)


class EchoClient(RawClient):
    def write(self, stream: str, fact: Deposited) -> None:
        self.conn.execute(ECHO, self._row(stream, fact), prepare=True)

    def consume(
        self, name: str, handle: Handle, stop: Stop, category: str | None, partitions: int
    ) -> None:
        self.conn.execute("LISTEN echo")
        while not stop.is_set():
            for notify in self.conn.notifies(timeout=0.2):
                handle([decode(notify.payload)])
