from pgstore._core import sql_files
from tests.sql.store import Store


def test_applied_migrations_are_those_of_the_files(store: Store) -> None:
    cursor = store.query("SELECT * FROM STORE.applied_migrations()")
    assert [column.name for column in cursor.description or ()] == ["number", "checksum"]
    assert cursor.fetchall() == sorted(sql_files.checksums().items())


def test_applied_migrations_come_with_their_names_and_times(store: Store) -> None:
    rows = store.query(
        "SELECT m.number, m.name, m.applied_at <= now() FROM STORE.migrations AS m ORDER BY 1"
    ).fetchall()
    assert rows == [
        (0, "functions, views and grants", True),
        *[(migration.number, migration.name, True) for migration in sql_files.migrations()],
    ]
