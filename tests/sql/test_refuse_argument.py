import psycopg
import pytest

from tests.sql.store import Store


@pytest.mark.parametrize(
    ("call", "value"),
    [
        ("write_message('', 'A', '{}')", '""'),
        ("write_message(repeat('s', 1001), 'A', '{}')", f'"{"s" * 59}…'),
        ("write_message('s-1', repeat('t', 256), '{}')", f'"{"t" * 59}…'),
        ("write_message('s-1', 'A', '{}', expected_version => -7)", "-7"),
        ("read_stream(NULL)", "null"),
        ("read_stream('s-1', max_count => -1)", "-1"),
        ("read_category(NULL)", "null"),
        ("read_all(after_position => -2)", "-2"),
        ("read_all(partition => 3, partitions => 2)", "3"),
        ("read_all(partition => 0, partitions => 70000)", "70000"),
        ("read_all(partition => 0, partitions => 2, partition_by => 'size')", '"size"'),
        ("create_subscription('')", '""'),
        ("create_subscription('s', on_failure => E'ex\\nplode')", '"ex\\nplode"'),
        ("create_subscription('s', retry_delay => '-1 s')", '"-00:00:01"'),
        ("claim_partition(ARRAY[NULL], 'me')", "[null]"),
        ("grant_access('nobody at all', 'read')", '"nobody at all"'),
        ("set_retention('s', max_count => -1)", "-1"),
    ],
)
def test_an_error_shows_the_value_shortened(store: Store, call: str, value: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
        store.query(f"SELECT STORE.{call}")
    message, hint = caught.value.diag.message_primary, caught.value.diag.message_hint
    assert message is not None
    assert message.endswith(f", not {value}")
    assert message.isprintable()
    assert "stored" not in (hint or "")  # it may have been a read


@pytest.mark.parametrize(
    "call",
    [
        "write_message('s-1', 'A', '\"secret\"', metadata => '\"secret\"')",
        "write_messages('s-1', '{\"secret\": 1}')",
    ],
)
def test_an_error_shows_no_payload(store: Store, call: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
        store.query(f"SELECT STORE.{call}")
    assert "secret" not in str(caught.value)
