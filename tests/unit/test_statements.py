"""The statements' texts: names quoted, all parameters cast, nothing else in them."""

import pytest
from psycopg._queries import PostgresQuery  # what psycopg makes of a statement
from psycopg.adapt import Transformer

from pgstore import InvalidArgumentError
from pgstore._core.statements import Statements

PARAMETERS = {
    "write": 6,
    "write_many": 6,
    "synchronize": 6,
    "read": 4,
    "last": 2,
    "get_many": 1,
    "stream_version": 1,
    "applied_migrations": 0,
    "read_page": 8,
    "safe_position": 0,
    "horizon": 0,
    "behind": 0,
    "fall_asleep": 1,
    "wake_up": 1,
    "wake_channel": 0,
    "create_subscription": 11,
    "claim_batch": 4,
    "look": 5,
    "fetch_batch": 4,
    "extend_lease": 3,
    "release_partition": 3,
    "abandon_partition": 4,
    "acknowledge": 5,
    "settle_parked": 4,
    "begin_handling": 3,
    "check_handling": 3,
    "acknowledge_handled": 8,
    "settle_handled": 7,
    "fail_message": 5,
    "drop_subscription": 1,
    "pause_subscription": 1,
    "resume_subscription": 2,
    "rewind_subscription": 3,
    "repartition_subscription": 2,
    "partitions": 1,
    "list_partitions": 1,
    "list_parked": 1,
    "replay_parked": 2,
    "drop_parked": 2,
    "subscription_position": 1,
}
NAMES = {
    "pgstore": '"pgstore"',
    'My "odd" % schéma': '"My ""odd"" % schéma"',
    "%s": '"%s"',
    "%(a)s %%": '"%(a)s %%"',
    "STORE": '"STORE"',
    "'; --": '"\'; --"',
}


def texts(name: str) -> dict[str, str]:
    statements = vars(Statements(name))
    return {**statements.pop("of_subscription"), **statements}


def test_every_statement_is_listed_here() -> None:
    assert texts("pgstore").keys() == PARAMETERS.keys()


def sent(text: str, parameters: int) -> str:
    """What the server gets of a statement."""
    query = PostgresQuery(Transformer())
    query.convert(text, (None,) * parameters)
    return query.query.decode()


@pytest.mark.parametrize("name", NAMES)
def test_name_is_quoted(name: str) -> None:
    def times(statement: str) -> int:
        return 2 if statement == "look" or statement.endswith("_handled") else 1

    found = {
        statement: sent(text, PARAMETERS[statement]) for statement, text in texts(name).items()
    }
    assert {
        statement: text
        for statement, text in found.items()
        if text.count(f"{NAMES[name]}.") != times(statement)
    } == {}


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_cast(name: str) -> None:
    wrong = {}
    for statement, text in texts(name).items():
        count = PARAMETERS[statement]
        given = sent(text, count)
        cast = all(f"${number}::" in given for number in range(1, count + 1))
        if not cast or f"${count + 1}" in given:
            wrong[statement] = given
    assert wrong == {}


@pytest.mark.parametrize("name", ["", "x" * 64, "é" * 32, "a\0", "pg_", "pg_toast"])
def test_what_cannot_be_a_schemas_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError):
        Statements(name)


@pytest.mark.parametrize("name", ["x" * 63, "é" * 31, "PG_", "pgstore", " "])
def test_what_can_be_a_schemas_name_is_taken(name: str) -> None:
    Statements(name)
