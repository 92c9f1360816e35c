import pytest

from tests.sql.names import ODD_STREAMS, short
from tests.sql.store import Store


def test_stream_version_is_that_of_the_last_message(store: Store, stream: str) -> None:
    for version in range(4):
        assert store.call("stream_version", stream=stream) == [(version,)]
        store.write(stream)
        store.write(stream + "-other")


def test_stream_version_of_an_empty_stream_is_0(store: Store, stream: str) -> None:
    before = store.counts()
    assert store.call("stream_version", stream) == [(0,)]
    assert store.call("stream_version", "") == [(0,)]
    assert store.counts() == before


def test_stream_version_counts_what_is_rolled_back_only_inside(store: Store, stream: str) -> None:
    with store.conn.transaction(force_rollback=True):
        store.write(stream)
        assert store.call("stream_version", stream) == [(1,)]
    assert store.call("stream_version", stream) == [(0,)]


@pytest.mark.parametrize("stream", ODD_STREAMS, ids=short)
def test_stream_version_finds_any_stream_name(store: Store, stream: str) -> None:
    store.write(stream)
    assert store.call("stream_version", stream) == [(1,)]
