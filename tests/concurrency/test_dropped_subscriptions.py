"""Calls that wait for the locks of a subscription while another session drops it."""

import pytest

from tests.concurrency.sessions import Open

CALLS = [
    "drop_subscription(%s)",
    "hold_subscription(%s)",
    "pause_subscription(%s)",
    "refilter_subscription(%s, '{other}')",
    "repartition_subscription(%s, 4)",
    "resume_subscription(%s)",
    "resume_subscription(%s, 0)",
    "rewind_subscription(%s, 0)",
    "drop_parked(%s)",
    "replay_parked(%s, 1)",
]

each_call = pytest.mark.parametrize("call", CALLS)


@each_call
def test_call_that_waits_for_a_drop_finds_no_subscription(
    session: Open, stream: str, call: str
) -> None:
    first, second = session("first"), session("second")
    first.run("SELECT create_subscription(%s)", stream)
    first.begin()
    first.run("SELECT drop_subscription(%s)", stream)

    waiting = second.start(f"SELECT {call}", stream).blocked_by(first)
    first.commit()

    assert waiting.sqlstate() == "MS021"


@each_call
def test_call_that_waits_for_a_new_subscription_of_the_name_finds_that(
    session: Open, stream: str, call: str
) -> None:
    first, second = session("first"), session("second")
    first.run("SELECT create_subscription(%s)", stream)
    first.begin()
    first.run("SELECT drop_subscription(%s)", stream)
    first.run("SELECT create_subscription(%s)", stream)

    waiting = second.start(f"SELECT {call}", stream).blocked_by(first)
    first.commit()

    assert waiting.sqlstate() is None
    names = {name for (name,) in first.run("SELECT s.subscription FROM list_subscriptions() AS s")}
    assert (stream in names) == (not call.startswith("drop_subscription"))


def test_call_that_waits_for_a_new_subscription_changes_that(session: Open, stream: str) -> None:
    first, second = session("first"), session("second")
    first.run("SELECT create_subscription(%s)", stream)
    first.begin()
    first.run("SELECT drop_subscription(%s)", stream)
    first.run("SELECT create_subscription(%s)", stream)

    waiting = second.start("SELECT pause_subscription(%s)", stream).blocked_by(first)
    first.commit()

    assert waiting.rows() != []
    paused = "SELECT s.paused FROM list_subscriptions() AS s WHERE s.subscription = %s"
    assert first.run(paused, stream) == [(True,)]


def test_create_that_waits_for_a_drop_creates(session: Open, stream: str) -> None:
    """The drop has locked the subscription, and waits for its partition: it is there meanwhile."""
    first, second, worker = session("first"), session("second"), session("worker")
    first.run("SELECT create_subscription(%s)", stream)
    worker.begin()
    worker.run(
        "SELECT FROM subscription_partitions AS p JOIN subscriptions AS s USING (subscription_id)"
        " WHERE s.subscription = %s FOR UPDATE OF p",
        stream,
    )

    dropping = first.start("SELECT drop_subscription(%s)", stream).blocked_by(worker)
    create = "SELECT create_subscription(%s, max_attempts => 9)"
    creating = second.start(create, stream).blocked_by(first)
    worker.commit()

    assert dropping.sqlstate() is None
    assert creating.rows() == [(True,)]
    attempts = "SELECT s.max_attempts FROM list_subscriptions() AS s WHERE s.subscription = %s"
    assert first.run(attempts, stream) == [(9,)]
