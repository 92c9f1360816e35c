# Generated from pgstore/_async/publisher.py by `python tools/unasync.py`.

"""Publishing up to which position standbys can be read."""

import os
import socket
from collections.abc import Callable
from itertools import count

from pgstore._compat.events import Event
from pgstore._core import statements as s
from pgstore._sync.opening import Opening
from pgstore._sync.waker import Waker

# Between two calls while messages come: each is a commit.
_PACE = 0.03
# How long another program is left to publish before this one looks whether it still does.
_TAKEN = 1.0
# A call confirms what was published 10 seconds ago; this is a little longer.
_CONFIRM = 10.1

_numbers = count(1)


class Publisher:
    """Publishes the safe position when it has moved, unless another program does."""

    task = "publisher"

    def __init__(self, database: Opening, waker: Waker, stopping: Event) -> None:
        self._database = database
        self._waker = waker
        self._stopping = stopping
        self._name = f"{socket.gethostname()}:{os.getpid()}:{next(_numbers)}"

    def work(self, through: Callable[[], None]) -> None:
        """Work until `stopping` is set; call back whenever the server has answered."""
        while True:
            seen = self._waker.counter.value
            if self._stopping.is_set():  # in this order, as in the runner
                return
            ((position, moved, taken),) = self._database.rows(s.PUBLISH_HORIZON, (self._name,))
            through()
            if taken:
                self._stopping.wait(_TAKEN)
            elif moved:
                self._stopping.wait(_PACE)
            else:
                self._waker.wait_beyond(position, seen, _CONFIRM)
