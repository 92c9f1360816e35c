"""Nobody sleeps through a message; with each of the wrong versions somebody does."""

import pytest

from tests.amounts import amount
from tests.stress.sleeper import WRONG
from tests.stress.wakeups import rounds

ROUNDS = amount(50, 500)


@pytest.mark.parametrize("restless", [True, False])
@pytest.mark.parametrize("writers", [1, 3])
def test_nobody_sleeps_through_a_message(
    server_conninfo: str, schema: str, writers: int, restless: bool
) -> None:
    found = rounds(server_conninfo, schema, ROUNDS, writers=writers, restless=restless)

    assert found.late == 0
    assert found.killed > 0
    assert found.disconnected > 0


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_version_loses_a_wake_up(server_conninfo: str, schema: str, wrong: str) -> None:
    found = rounds(server_conninfo, schema, 5000, writers=1, wrong=wrong, enough=1, seconds=120)

    assert found.late > 0
