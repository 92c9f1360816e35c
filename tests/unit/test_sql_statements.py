"""Scripts of SQL, taken apart into their statements."""

import pytest

from pgstore._core import sql_files


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
    assert list(sql_files.statements(script)) == statements


def test_nothing_of_the_files_is_lost() -> None:
    texts = [migration.text for migration in sql_files.migrations()]
    texts += [path.read_text() for path in sql_files.repeated_files()]
    texts += [sql_files.read("prepare.sql"), sql_files.read("record.sql")]
    for text in texts:
        assert "".join("".join(sql_files.statements(text)).split()) == "".join(text.split())
