"""Many processes write to 4 streams: no version twice, none missing, no message lost or doubled."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.amounts import amount
from tests.concurrency.writer import Accepted, Job, Report
from tests.concurrency.writers import PROCESSES, Writers

# Runs until the writers have met what they shall; mostly the first one has them meet it.
ENOUGH = 20
ISOLATIONS = ["read committed", "repeatable read", "serializable"]

Stored = dict[str, list[tuple[int, int, str]]]  # version, global position and id, by stream


@pytest.mark.parametrize("expect", [False, True], ids=["any version", "expected version"])
@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_writes_are_stored_once_and_without_gaps(
    server_conninfo: str, store: str, writers: Writers, isolation: str, expect: bool
) -> None:
    expected = {"MS001"} if expect else set()
    if isolation != "read committed":
        expected.add("40001")
    met: Counter[str] = Counter()
    for _ in range(ENOUGH):
        jobs = make_jobs(server_conninfo, store, isolation, expect=expect, seconds=amount(0.5, 3))
        writers.start(jobs)
        met += check(server_conninfo, store, jobs[0].streams, writers.reports())
        if expected <= met.keys():
            break
    assert expected <= met.keys() <= expected | {"40P01"}  # otherwise none has competed


@pytest.mark.parametrize("expect", [False, True], ids=["any version", "expected version"])
@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_writes_are_stored_once_and_without_gaps_while_backends_are_killed(
    server_conninfo: str, store: str, writers: Writers, isolation: str, expect: bool
) -> None:
    met: Counter[str] = Counter()
    for _ in range(ENOUGH):
        jobs = make_jobs(server_conninfo, store, isolation, expect=expect, seconds=amount(0.5, 4))
        with backends_killed(server_conninfo, store):
            writers.start(jobs)
            reports = writers.reports()
        met += check(server_conninfo, store, jobs[0].streams, reports)
        if met["57P01"] + met["lost"] > 0:
            break
    assert met["57P01"] + met["lost"] > 0
    assert met.keys() <= {"40P01", "40001", "57P01", "lost"} | ({"MS001"} if expect else set())


def make_jobs(
    conninfo: str, store: str, isolation: str, *, expect: bool, seconds: float
) -> list[Job]:
    """Jobs on 4 new streams of two categories, half of them by SQL, half by Python."""
    run = uuid4().hex[:12]
    isolation = isolation.replace(" ", r"\ ")
    options = f"-c default_transaction_isolation={isolation} -c deadlock_timeout=20ms"
    return [
        Job(
            conninfo=make_conninfo(conninfo, application_name=store, options=options),
            store=store,
            streams=[f"{run}a-1", f"{run}a-2", f"{run}b-1", f"{run}b-2"],
            seconds=seconds,
            seed=seed,
            through="sql" if seed % 2 else "python",
            expect=expect,
        )
        for seed in range(PROCESSES)
    ]


def check(conninfo: str, store: str, streams: list[str], reports: list[Report]) -> Counter[str]:
    """Compare what the writers were told with what is stored; the errors that they met."""
    accepted = [each for report in reports for each in report.accepted]
    stored = read(conninfo, store, streams)

    for rows in stored.values():
        assert [version for version, _, _ in rows] == list(range(1, len(rows) + 1))
        assert all(before[1] < after[1] for before, after in pairwise(rows))
    assert Counter(str(each.message_id) for each in accepted) == Counter(
        message_id for rows in stored.values() for _, _, message_id in rows
    )
    assert [each for each in accepted if not is_at_its_place(each, stored)] == []
    return sum((Counter(report.errors) for report in reports), Counter())


def read(conninfo: str, store: str, streams: list[str]) -> Stored:
    stored: Stored = {stream: [] for stream in streams}
    with psycopg.connect(conninfo) as conn:
        for stream, *row in conn.execute(
            f"SELECT stream, version, global_position, message_id::text FROM {store}.all_messages"
            " WHERE stream = ANY (%s) ORDER BY stream, version",
            (streams,),
        ):
            stored[stream].append((row[0], row[1], row[2]))
    return stored


def is_at_its_place(each: Accepted, stored: Stored) -> bool:
    _, position, message_id = stored[each.stream][each.version - 1]
    return message_id == str(each.message_id) and each.global_position in (None, position)


@contextmanager
def backends_killed(conninfo: str, store: str) -> Iterator[None]:
    """Terminate backends of the writers, two at random every few milliseconds."""
    stop = threading.Event()

    def kill() -> None:
        with psycopg.connect(conninfo, autocommit=True) as conn:
            while not stop.wait(0.03):
                conn.execute(
                    "SELECT pg_terminate_backend(v.pid) FROM (SELECT a.pid FROM pg_stat_activity"
                    " AS a WHERE a.application_name = %s ORDER BY random() LIMIT 2) AS v",
                    (store,),
                )

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield
    finally:
        stop.set()
        killer.join()
