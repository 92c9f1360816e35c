"""The page “FastAPI”, followed to the letter."""

import signal
from collections.abc import Iterator

import psycopg
import pytest

from tests.docs.following import DEADLINE, Followed, end, following, wait_until
from tests.docs.test_examples import GUIDES, matches

ORDER = """curl -s localhost:8000/orders/{} --json '{{"customer": "Ada", "total": 25}}'"""


@pytest.fixture
def guide(conninfo: str) -> Iterator[Followed]:
    with following(GUIDES / "fastapi.md", conninfo) as guide:
        guide.environment["UVICORN_PORT"] = str(guide.port)
        guide.follow(leave_out=["uvicorn", "curl", "pgstore run", "python -m pytest"])
        yield guide


def customers(guide: Followed) -> list[tuple[str, int]]:
    with psycopg.connect(guide.environment["PGSTORE_CONNINFO"]) as conn:
        return conn.execute("SELECT name, orders FROM customers").fetchall()


def test_its_tests_pass(guide: Followed) -> None:
    del guide.environment["PGSTORE_CONNINFO"]  # they need none
    guide.run_all("python -m pytest")


def test_it_answers_and_feeds_as_the_page_says(guide: Followed) -> None:
    guide.environment["WORKERS"] = "inside"
    ((_, fed),) = guide.commands("curl -sN")
    with guide.running("uvicorn --factory shop.api:create --timeout") as server:
        wait_until(lambda: guide.answer("curl -s localhost:8000/openapi.json") != "", server)
        browser = guide.feed("/events")
        wait_until(lambda: browser.text != "", server)
        guide.curl(server)
        wait_until(lambda: matches(browser.text, fed), server)
        again = guide.feed("/events", last_event_id=0)
        wait_until(lambda: matches(again.text, fed), server)
        other = guide.feed("/events", last_event_id=1_000)
        wait_until(lambda: "id: 2\nevent: reset\n" in other.text, server)
        assert guide.answer(ORDER.format(2))
        wait_until(lambda: '"stream":"order-2"' in other.text, server)
        # Although three feeds are open. uvicorn ends by the signal that it has handled.
        assert end(server, signal.SIGTERM) == -signal.SIGTERM


def test_workers_inside_of_several_processes_share_the_work(guide: Followed) -> None:
    guide.environment["WORKERS"] = "inside"
    with guide.running("uvicorn --factory shop.api:create --timeout", "--workers 2") as server:
        for number in range(10):
            wait_until(lambda n=number: '"version":1' in guide.answer(ORDER.format(n)), server)  # type: ignore[misc]
        wait_until(lambda: customers(guide) == [("Ada", 10)], server)
        assert end(server, signal.SIGTERM) == 0


def test_workers_beside_end_at_sigterm(guide: Followed) -> None:
    with guide.running("uvicorn --factory shop.api:create --timeout") as server:
        wait_until(lambda: '"version":1' in guide.answer(ORDER.format(1)), server)
        with guide.running("pgstore run") as worker:
            wait_until(lambda: customers(guide) == [("Ada", 1)], worker)
            assert end(worker, signal.SIGTERM) == 0


def test_a_web_server_whose_workers_cannot_continue_ends(
    guide: Followed, capfd: pytest.CaptureFixture[str]
) -> None:
    guide.environment["WORKERS"] = "inside"
    with psycopg.connect(guide.environment["PGSTORE_CONNINFO"]) as conn:
        conn.execute("SELECT shop.create_subscription('customers', types => '{Paid}')")
    with guide.running("uvicorn --factory shop.api:create --timeout") as server:
        assert server.wait(DEADLINE) != 0
    assert "SubscriptionExistsError" in capfd.readouterr().err
