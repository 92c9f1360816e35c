"""A TCP proxy in front of the server: it loses answers, is down, silent, or leads elsewhere."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

import psycopg
from psycopg.conninfo import make_conninfo

# ReadyForQuery, but for the state of the transaction.
_READY = b"Z\0\0\0\5"


class Proxy:
    """``conninfo`` leads through it.

    ``lost`` counts the answers that the server gave and no client got.
    """

    def __init__(self, conninfo: str) -> None:
        self.lead_to(conninfo)
        self.lost = 0
        self._down = False
        self._frozen = threading.Event()
        self._holding = False
        self.held = threading.Event()
        self._passed = threading.Event()
        self._doomed: bytes | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.conninfo = make_conninfo(
            conninfo, host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable"
        )
        self._sockets: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @classmethod
    @contextmanager
    def running(cls, conninfo: str) -> Iterator[Self]:
        proxy = cls(conninfo)
        try:
            yield proxy
        finally:
            for each in proxy._sockets:
                _close(each)
            for thread in proxy._threads:
                thread.join(30)

    def lose_answer_to(self, request: bytes) -> None:
        """Lose the answer to the next request that contains these bytes."""
        self._doomed = request

    def hold_end(self) -> None:
        """Of the next answer, hold back the message that the server is ready for another query."""
        self._holding = True

    def pass_end(self) -> None:
        self._passed.set()

    def lead_to(self, conninfo: str) -> None:
        """Connect to this server from now on; connections that are there stay where they are."""
        with psycopg.connect(conninfo) as conn:
            self._host, self._port = conn.info.host, conn.info.port

    def go_down(self) -> None:
        """Close all connections, and accept none."""
        self._down = True
        for each in self._sockets[1:]:
            _close(each)

    def come_up(self) -> None:
        self._down = False

    def freeze(self, *, new: bool) -> None:
        """Pass nothing on any more on the connections there are, nor on new ones if `new`.

        They stay open, as those of a stopped process or a host that has vanished.
        """
        self._frozen.set()
        if not new:
            self._frozen = threading.Event()

    def vanish(self) -> None:
        """End the connections, as their limits do, and answer no new one: the host has gone."""
        self.freeze(new=True)
        for each in self._sockets[1:]:
            _close(each)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._down:
                    _close(client)
                    continue
                server = self._connect()
                self._sockets += [client, server]
                lost = threading.Event()
                for target in (self._requests, self._answers):
                    arguments = (client, server, lost, self._frozen)
                    thread = threading.Thread(target=target, args=arguments)
                    self._threads.append(thread)
                    thread.start()

    def _connect(self) -> socket.socket:
        if not self._host.startswith("/"):
            return socket.create_connection((self._host, self._port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{self._host}/.s.PGSQL.{self._port}")
        return server

    def _requests(
        self,
        client: socket.socket,
        server: socket.socket,
        lost: threading.Event,
        frozen: threading.Event,
    ) -> None:
        with suppress(OSError):
            while sent := client.recv(1 << 20):
                if frozen.is_set():
                    continue
                if self._doomed and self._doomed in sent:
                    self._doomed = None
                    lost.set()
                server.sendall(sent)
        _close(server)

    def _answers(
        self,
        client: socket.socket,
        server: socket.socket,
        lost: threading.Event,
        frozen: threading.Event,
    ) -> None:
        with suppress(OSError):
            while answer := server.recv(1 << 20):
                if frozen.is_set():
                    continue
                if lost.is_set():
                    self.lost += 1
                    break
                if self._holding and answer[:-1].endswith(_READY):
                    self._holding = False
                    client.sendall(answer[:-6])
                    self.held.set()
                    self._passed.wait(30)
                    answer = answer[-6:]
                client.sendall(answer)
        _close(client)
        _close(server)


def _close(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
