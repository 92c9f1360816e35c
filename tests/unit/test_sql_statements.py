"""Scripts of SQL, taken apart into their statements."""

import pytest

from pgstore import _sql


@pytest.mark.parametrize(
    ("script", "statements"),
    [
        ("SELECT 1;\nSELECT 2;", ["SELECT 1;", "SELECT 2;"]),
        (
            "SELECT ';', \";\";\n-- a; b\nSELECT 'it''s;';",
            ["SELECT ';', \";\";", "-- a; b\nSELECT 'it''s;';"],
        ),
        (
            "DO $$ BEGIN; $a$; END $$;\nDO $do$ $$; $do$;",
            ["DO $$ BEGIN; $a$; END $$;", "DO $do$ $$; $do$;"],
        ),
        (
            "CREATE FUNCTION f()\nBEGIN ATOMIC\n  SELECT 1;\n  SELECT 2;\nEND;\nSELECT 3;",
            ["CREATE FUNCTION f()\nBEGIN ATOMIC\n  SELECT 1;\n  SELECT 2;\nEND;", "SELECT 3;"],
        ),
        ("\n-- nothing but a comment;\n", []),
    ],
)
def test_a_script_is_taken_apart(script: str, statements: list[str]) -> None:
    assert _sql.statements(script) == statements


def test_nothing_of_the_files_is_lost() -> None:
    texts = [migration.text for migration in _sql.migrations()]
    texts += [path.read_text() for path in _sql.repeated_files()]
    texts += [_sql.read("prepare.sql"), _sql.read("record.sql")]
    for text in texts:
        assert "".join("".join(_sql.statements(text)).split()) == "".join(text.split())
