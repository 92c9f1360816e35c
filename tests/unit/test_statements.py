"""The statements' texts: names quoted, all parameters cast, nothing else in them."""

import re

import pytest
from psycopg._queries import PostgresQuery  # what psycopg makes of a statement
from psycopg.adapt import Transformer

from pgstore import InvalidArgumentError
from pgstore._core import statements
from pgstore._core.quoting import Statements, as_prepared

ALL = {name: text for name, text in vars(statements).items() if name.isupper() and name[0] != "_"}
PREPARED = {name: text for name, text in ALL.items() if not text.startswith("COPY")}
NAMES = {
    "pgstore": '"pgstore"',
    'My "odd" % schéma': '"My ""odd"" % schéma"',
    "%s": '"%s"',
    "%(a)s %%": '"%(a)s %%"',
    "STORE": '"STORE"',
    "{after}": '"{after}"',
    "'; --": '"\'; --"',
}


def test_every_parameter_is_cast() -> None:
    wrong = {name for name, text in PREPARED.items() if re.search(r"%(s|\(\w+\)s)(?!::)", text)}
    # Compared with a column that has its collation.
    assert wrong == {"STREAMS"}


@pytest.mark.parametrize("name", NAMES)
def test_name_is_quoted_in_every_statement(name: str) -> None:
    quoted = Statements(name)
    wrong = []
    for each, text in PREPARED.items():
        named = re.findall(r"%\((\w+)\)s", text)
        parameters = dict.fromkeys(named) if named else (None,) * text.count("%s")
        query = PostgresQuery(Transformer())
        query.convert(quoted[text], parameters)
        sent = query.query.decode()
        if sent.count(f"{NAMES[name]}.") != text.count("STORE."):
            wrong.append(each)
    assert wrong == []


@pytest.mark.parametrize("name", NAMES)
def test_a_statement_is_prepared_as_psycopg_would_send_it(name: str) -> None:
    quoted = Statements(name)
    texts = {text for text in PREPARED.values() if not re.search(r"%\(\w+\)s", text)}
    for text in texts:
        query = PostgresQuery(Transformer())
        query.convert(quoted[text], (None,) * text.count("%s"))
        assert as_prepared(quoted[text])[1] == query.query


def test_no_two_statements_have_the_same_name_when_they_are_prepared() -> None:
    names = [as_prepared(Statements(name)[text])[0] for name in NAMES for text in PREPARED.values()]
    texts = [Statements(name)[text] for name in NAMES for text in PREPARED.values()]
    assert len(set(names)) == len(set(texts))
    assert max(map(len, names)) < 64  # where the server would cut them


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_has_its_values_quoted_into_it(name: str) -> None:
    values = {"category": "a'{b}%s", "stream": None, "after": 1, "up_to": 2, "count": 3}
    for each in ("EXPORT_FLOORS", "EXPORT_MESSAGES"):
        text = Statements(name).copy_out(ALL[each], **values)
        assert f"FROM {NAMES[name]}.export_" in text
        assert "'a''{b}%s', NULL)" in text


@pytest.mark.parametrize("name", ["", "x" * 64, "é" * 32, "a\0", "pg_", "pg_toast"])
def test_what_cannot_be_a_schemas_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError):
        Statements(name)


@pytest.mark.parametrize("name", ["x" * 63, "é" * 31, "PG_", "pgstore", " "])
def test_what_can_be_a_schemas_name_is_taken(name: str) -> None:
    Statements(name)
