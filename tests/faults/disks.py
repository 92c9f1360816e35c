"""The server's disk is full for a while."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.faults.counts import Counts, Rounds
from tests.faults.servers import Durable, temporary_folder
from tests.faults.traffic import Traffic

_SIZE = "512m"
_PATIENCE = 30.0
# Seconds; the first is longer than it takes to try a message for the last time.
_FULL = (3.0, 0.2, 1.0)


class CannotMount(Exception):
    """Only root may mount the small file system that is filled."""


def disk_full(_server: Durable, rounds: Rounds) -> Counts:
    """Fill the server's file system until writes are refused, and a little longer."""
    with (
        _small_disk() as disk,
        Durable(disk / "server") as server,
        Traffic(server.conninfo, "disk_full") as traffic,
    ):
        starts = 0
        for number in rounds:
            traffic.wait_until_back()
            with _filled(disk / "ballast"):
                _wait_for_errors(traffic)
                time.sleep(_FULL[number % len(_FULL)])
            if not server.alive:  # it ends if it cannot even recover
                starts += 1
                server.start_again()
        traffic.wait_until_back()
        traffic.counts.noted["writes refused"] = sum(each.errors for each in traffic.writers)
        traffic.counts.noted["server started"] = starts
        return traffic.finish()


@contextmanager
def _small_disk() -> Iterator[Path]:
    with temporary_folder() as folder:
        options = ["-t", "tmpfs", "-o", f"size={_SIZE},mode=0711", "tmpfs"]
        try:
            subprocess.run(["mount", *options, folder], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise CannotMount from error
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def _filled(ballast: Path) -> Iterator[None]:
    block = bytes(1 << 20)
    file = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    try:
        with suppress(OSError):
            while os.write(file, block):
                pass
        yield
    finally:
        os.close(file)
        ballast.unlink()


def _wait_for_errors(traffic: Traffic) -> None:
    before = [each.errors for each in traffic.writers]
    end = time.monotonic() + _PATIENCE
    while [each.errors for each in traffic.writers] == before:
        assert time.monotonic() < end, "no write was refused"
        time.sleep(0.01)
