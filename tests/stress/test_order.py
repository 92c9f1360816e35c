"""No reader misses or repeats a message, whatever the writers do: seconds of everything."""

from collections.abc import Iterator

import pytest

from tests.amounts import amount
from tests.sql.store import drop
from tests.stress.order import WRONG, Outcome, stress

SECONDS = amount(5, 30)

# Sixteen keep a message in flight all the time. With two, readers often find all gates free.
MANY, FEW = 16, 2

# Runs until one has shown what it shall; most do.
ENOUGH = 20


def runs(
    conninfo: str,
    name: str,
    seconds: float,
    writers: int,
    *,
    wrong: str | None = None,
    forged: bool = False,
) -> Iterator[Outcome]:
    """Run again and again, each time in a new store."""
    for number in range(ENOUGH):
        if number > 0:
            drop(conninfo, name)
        yield stress(conninfo, name, seconds, writers, wrong=wrong, forged=forged)


@pytest.mark.parametrize(("writers", "forged"), [(MANY, False), (FEW, False), (FEW, True)])
def test_no_reader_misses_or_repeats_a_message(
    server_conninfo: str, schema: str, writers: int, forged: bool
) -> None:
    for outcome in runs(server_conninfo, schema, SECONDS, writers, forged=forged):
        verdicts = outcome.verdicts.items()
        assert {each for each, verdict in verdicts if not verdict.faultless} == set()
        assert [error for report in outcome.workers for error in report.failed] == []
        assert outcome.messages > (100 if writers == MANY else 20)
        # A reader without a safe position misses some in the same run.
        if min(
            outcome.naive_missed,
            outcome.transactions.get("rolled back", 0),
            *outcome.killed.values(),
        ):
            return
    pytest.fail("no run has lost, rolled back and killed something")


@pytest.mark.parametrize("wrong", WRONG)
def test_readers_miss_messages_of_writers_without_a_gate(
    server_conninfo: str, schema: str, wrong: str
) -> None:
    for outcome in runs(server_conninfo, schema, SECONDS / 2, FEW, wrong=wrong, forged=True):
        if any(verdict.missed for verdict in outcome.verdicts.values()):
            return
    pytest.fail("no reader has missed a message")
