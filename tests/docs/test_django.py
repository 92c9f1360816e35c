"""The page “Django”, followed to the letter."""

import signal
from collections.abc import Iterator

import pytest

from tests.docs.following import Followed, end, following, wait_until
from tests.docs.test_examples import GUIDES, matches

SERVER = "python manage.py runserver"
WORKER = "python manage.py run_workers"
SHELL = "python manage.py shell"
TESTS = "python manage.py test"


@pytest.fixture
def guide(conninfo: str) -> Iterator[Followed]:
    with following(GUIDES / "django.md", conninfo) as guide:
        guide.follow(leave_out=["curl", SERVER, WORKER, SHELL, TESTS])
        yield guide


def test_it_answers_and_its_workers_handle_as_the_page_says(guide: Followed) -> None:
    with guide.running(SERVER) as server:
        guide.curl(server)
    ((command, said),) = guide.commands(SHELL)
    with guide.running(WORKER) as worker:
        wait_until(lambda: matches(guide.done(command).stdout, said), worker)
        assert end(worker, signal.SIGTERM) == 0


def test_its_tests_pass_and_leave_nothing_to_the_next_run(guide: Followed) -> None:
    guide.run_all(TESTS)
    for option in "--keepdb", "--keepdb", "--noinput":  # which removes the database
        again = guide.done(f"{TESTS} {option}")
        assert again.returncode == 0, again.stderr


def test_its_server_may_fork_after_the_import(guide: Followed) -> None:
    command = "gunicorn --preload --workers 2 --bind localhost:8000 shop.wsgi"
    with guide.started(command) as server:
        for number in range(20):
            order = f"curl -s localhost:8000/orders/{number} -d customer=Ada"
            wait_until(lambda each=order: "placed" in guide.answer(each), server)  # type: ignore[misc]
        assert end(server, signal.SIGTERM) == 0
