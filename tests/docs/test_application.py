"""The page “Build an application”, followed to the letter in an empty folder."""

import signal
from collections.abc import Iterator

import pytest

from tests.docs.following import Followed, end, following
from tests.docs.test_examples import APPLICATION

PROGRAM, TESTS = "python -m shop", "python -m pytest"


@pytest.fixture
def guide(conninfo: str) -> Iterator[Followed]:
    with following(APPLICATION, conninfo) as guide:
        # It has a server of its own.
        for name in [name for name in guide.environment if name.startswith("PG")]:
            del guide.environment[name]
        guide.environment["PORT"] = str(guide.port)
        yield guide


def test_its_tests_pass(guide: Followed) -> None:
    assert len(guide.commands(TESTS)) == 2
    guide.follow(leave_out=[PROGRAM, "curl"])


def test_it_answers_as_the_page_says(guide: Followed) -> None:
    guide.follow(leave_out=[PROGRAM, "curl", TESTS])
    with guide.running(PROGRAM) as program:
        guide.curl(program)
        assert end(program, signal.SIGINT) in (0, 130, -signal.SIGINT)
