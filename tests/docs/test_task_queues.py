"""The page “Celery and other task queues”, followed to the letter."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from tests.docs.following import Followed, end, following, wait_until
from tests.docs.test_examples import GUIDES

HAND_OVER, CELERY = "pgstore run", "celery -A"
WRITE, REWIND = "pgstore write", "pgstore rewind"


@pytest.fixture
def guide(conninfo: str) -> Iterator[Followed]:
    with following(GUIDES / "task-queues.md", conninfo) as guide:
        guide.follow(leave_out=[HAND_OVER, CELERY, WRITE, REWIND])
        yield guide


def invoices(guide: Followed) -> list[tuple[str, int]]:
    with psycopg.connect(guide.environment["PGSTORE_CONNINFO"]) as conn:
        return conn.execute("SELECT customer, total FROM invoices").fetchall()


def test_a_message_that_is_handed_over_twice_makes_one_invoice(guide: Followed) -> None:
    log = guide.folder / "celery.log"
    ((command, _),) = guide.commands(CELERY)
    with ExitStack() as programs:
        handing = programs.enter_context(guide.running(HAND_OVER))
        celery = programs.enter_context(guide.started(f"{command} --logfile celery.log"))
        guide.run_all(WRITE)
        wait_until(lambda: invoices(guide) == [("Ada", 25)], celery)
        guide.run_all(REWIND)
        wait_until(lambda: "it was made before" in log.read_text(), celery)
        assert invoices(guide) == [("Ada", 25)]
        assert end(handing, signal.SIGTERM) == 0
        assert end(celery, signal.SIGTERM) == 0


EAGER = """\
from shop.handover import handover
from shop.store import Placed, store
from shop.tasks import app

app.conf.task_always_eager = True
with store:
    store.write("order-1", Placed("Ada", 25))
    assert store.run_once(handover) == 1
"""


def test_a_task_runs_in_place_in_tests(guide: Followed) -> None:
    guide.write("eager.py", EAGER)
    done = guide.done("python eager.py")
    assert done.returncode == 0, done.stderr
    assert invoices(guide) == [("Ada", 25)]


def test_a_store_that_was_used_before_the_fork_is_refused(guide: Followed) -> None:
    tasks = guide.folder / "shop" / "tasks.py"
    guide.write("shop/tasks.py", f"{tasks.read_text()}\n\nstore.safe_position()\n")
    log = guide.folder / "celery.log"
    ((command, _),) = guide.commands(CELERY)
    with guide.running(HAND_OVER), guide.started(f"{command} --logfile celery.log") as celery:
        guide.run_all(WRITE)
        wait_until(lambda: log.exists() and "PgstoreError" in log.read_text(), celery)
    assert invoices(guide) == []


def test_a_task_whose_process_is_killed_runs_again(guide: Followed) -> None:
    tasks = guide.folder / "shop" / "tasks.py"
    insert = "            conn.execute(INSERT"
    kill = """\
            from pathlib import Path

            try:
                Path("killed").touch(exist_ok=False)
                os.kill(os.getpid(), 9)
            except FileExistsError:
                pass
"""
    text = tasks.read_text()
    assert insert in text
    guide.write("shop/tasks.py", text.replace(insert, kill + insert))
    ((command, _),) = guide.commands(CELERY)
    with guide.running(HAND_OVER), guide.started(command) as celery:
        guide.run_all(WRITE)
        wait_until(lambda: invoices(guide) == [("Ada", 25)], celery)
    assert (guide.folder / "killed").exists()
