"""Waiting for a socket, as asyncio and as threads do it."""

import asyncio
import select

# A signal that comes just before the wait is handled after it.
_SLICE = 0.2

# The errors that interrupt a wait: another task, or a signal's handler, raises them.
AsyncInterruption = (asyncio.CancelledError, KeyboardInterrupt, SystemExit)
Interruption = (KeyboardInterrupt, SystemExit)


async def async_ready(fd: int, *, writable: bool = False, timeout: float | None = None) -> bool:
    """Wait until a socket can be read, or also until it can be written; False if none in time."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[bool] = loop.create_future()
    loop.add_reader(fd, _settle, ready, True)
    if writable:
        loop.add_writer(fd, _settle, ready, True)
    timer = None if timeout is None else loop.call_later(timeout, _settle, ready, False)
    try:
        return await ready
    finally:
        loop.remove_reader(fd)
        if writable:
            loop.remove_writer(fd)
        if timer is not None:
            timer.cancel()


def _settle(ready: asyncio.Future[bool], value: bool) -> None:
    if not ready.done():
        ready.set_result(value)


def ready(fd: int, *, writable: bool = False, timeout: float | None = None) -> bool:
    """Wait until a socket can be read, or also until it can be written; False if none in time."""
    # Looked up anew: gevent puts one in its place that lets other greenlets run.
    poll = select.poll()
    poll.register(fd, select.POLLIN | select.POLLOUT if writable else select.POLLIN)
    if timeout is not None:
        return bool(poll.poll(timeout * 1000))
    while not poll.poll(_SLICE * 1000):
        pass
    return True


def async_can_wait() -> bool:
    return True


def can_wait() -> bool:
    """Tell whether there is poll: Windows has none, and eventlet takes it away."""
    return hasattr(select, "poll")
