from pgstore._core import sql_files
from tests.sql.store import Store


def test_schema_version_is_the_number_of_the_last_migration(store: Store) -> None:
    assert store.call("schema_version") == [(sql_files.migrations()[-1].number,)]


def test_schema_version_is_that_of_the_store_not_of_the_files(store: Store) -> None:
    with store.conn.transaction(force_rollback=True):
        store.query("INSERT INTO STORE.migrations VALUES (999, now(), 'later', '')")
        assert store.call("schema_version") == [(999,)]
