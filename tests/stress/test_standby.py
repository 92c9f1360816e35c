"""No reader on a standby misses or repeats a message, whatever writers and publishers do."""

from tests.amounts import amount
from tests.stress.standby import Outcome, stress

SECONDS = amount(4, 60)


def faultless(outcome: Outcome) -> set[str]:
    return {name for name, verdict in outcome.verdicts.items() if verdict.faultless}


def test_no_reader_on_a_standby_misses_or_repeats_a_message() -> None:
    """While two programs publish, one after the other is killed, and old snapshots are held."""
    outcome = stress(SECONDS)
    assert faultless(outcome) == {"read_all", "repeatable read", "follow"}
    assert outcome.verdicts["naive"].missed > 0  # in the same run, which could not fail otherwise
    assert min(outcome.rolled_back, outcome.prepared, outcome.publishers_killed) > 0


def test_readers_miss_messages_if_the_last_position_is_published() -> None:
    outcome = stress(SECONDS / 2, wrong=True, kill=False)
    for name in ("read_all", "repeatable read", "follow"):
        assert outcome.verdicts[name].missed > 0
