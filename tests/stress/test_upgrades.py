"""No reader passes a transaction that was open during the upgrade that brings the gates."""

from tests.amounts import amount
from tests.stress.upgrades import upgrades

ROUNDS = amount(4, 60)


def test_no_reader_passes_a_writer_of_before_the_upgrade(server_conninfo: str, schema: str) -> None:
    found = upgrades(server_conninfo, schema, ROUNDS)

    assert (found.missed, found.repeated) == (0, 0)
    assert found.tells


def test_readers_that_trust_the_gates_at_once_pass_some(server_conninfo: str, schema: str) -> None:
    found = upgrades(server_conninfo, schema, 200, trusting=True, enough=1)

    assert found.missed > 0
