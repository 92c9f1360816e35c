"""A PostgreSQL server that keeps running when the program that started it has ended."""

import time
from datetime import datetime
from pathlib import Path

from pgstore.embedded import places, postmaster
from pgstore.embedded.server import BACKGROUND, EmbeddedServerError, Server


class BackgroundServer(Server):
    """Run PostgreSQL in a folder from ``start()`` to ``end()``, or until the machine shuts down.

    ``stop()``, and the end of a ``with`` block, leave it running. So does a `Server` of the same
    folder: it attaches. A server that was killed is started again by the next ``start()``.
    """

    def __init__(self, folder: str | Path, *, timeout: float = 60.0) -> None:
        name, _, value = BACKGROUND.partition("=")
        super().__init__(folder, settings={name: value}, timeout=timeout)

    @property
    def conninfo(self) -> str:
        """A connection URI as that of `Server`, also while the server does not run."""
        return places.address(self.folder)

    @property
    def started_at(self) -> datetime | None:
        """When the server was started that runs in the folder; None if none does."""
        return postmaster.running_since(self._data)

    @property
    def in_background(self) -> bool:
        """Whether the last server in the folder was started by this class, not by a `Server`."""
        return postmaster.was_started_with(self._data, BACKGROUND)

    def start(self) -> None:
        """Start the server if none runs in the folder; return when it answers.

        Raises EmbeddedServerError, and then leaves nothing running that it started.
        """
        super().start()
        self._ours = False
        self.stop()

    def end(self) -> bool:
        """Stop the server now, even while clients are connected; tell whether one ran."""
        if not self._data.exists():
            return False
        self._prepare_folder()
        deadline = time.monotonic() + self._timeout
        while not self._take_lock():  # somebody starts it just now, or owns it
            if self._answers() and not self.in_background:
                raise EmbeddedServerError(
                    f"the server in {self.folder} stops when the program that has started it does"
                )
            self._check_time(deadline)
        try:
            ran = postmaster.running_process(self._data) is not None
            self._end_server()
            return ran
        finally:
            self._release()
