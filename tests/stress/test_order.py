"""No reader misses or repeats a message, whatever the writers do: seconds of everything."""

from tests.amounts import amount
from tests.stress.order import stress

SECONDS = amount(5, 30)
WRITERS = 16


def test_no_reader_misses_or_repeats_a_message(server_conninfo: str, schema: str) -> None:
    outcome = stress(server_conninfo, schema, SECONDS, WRITERS)

    assert outcome.naive_missed > 0  # the same run loses messages to who does not take care
    assert outcome.messages > 500
    assert outcome.transactions["rolled back"] > 0
    assert min(outcome.killed.values()) > 0
    assert {each for each, verdict in outcome.verdicts.items() if not verdict.faultless} == set()
    assert [error for report in outcome.workers for error in report.failed] == []
