"""No reader misses or repeats a message, whatever the writers do: seconds of everything."""

import pytest

from tests.amounts import amount
from tests.stress.order import WRONG, stress

SECONDS = amount(5, 30)

# Sixteen keep a message in flight all the time. With two, readers often find all gates free.
MANY, FEW = 16, 2


@pytest.mark.parametrize(("writers", "forged"), [(MANY, False), (FEW, False), (FEW, True)])
def test_no_reader_misses_or_repeats_a_message(
    server_conninfo: str, schema: str, writers: int, forged: bool
) -> None:
    outcome = stress(server_conninfo, schema, SECONDS, writers, forged=forged)

    assert outcome.naive_missed > 0  # a reader without a safe position misses some in the same run
    assert outcome.messages > (100 if writers == MANY else 20)
    assert outcome.transactions["rolled back"] > 0
    assert min(outcome.killed.values()) > 0
    assert {each for each, verdict in outcome.verdicts.items() if not verdict.faultless} == set()
    assert [error for report in outcome.workers for error in report.failed] == []


@pytest.mark.parametrize("wrong", WRONG)
def test_readers_miss_messages_of_writers_without_a_gate(
    server_conninfo: str, schema: str, wrong: str
) -> None:
    outcome = stress(server_conninfo, schema, SECONDS, FEW, wrong=wrong, forged=True)

    assert max(verdict.missed for verdict in outcome.verdicts.values()) > 0
