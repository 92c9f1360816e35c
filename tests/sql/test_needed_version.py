from tests.sql.store import Store


def test_a_package_of_the_schema_version_can_use_the_store(store: Store) -> None:
    ((version,),) = store.call("schema_version")
    ((needed,),) = store.call("needed_version")
    assert 1 <= needed <= version
