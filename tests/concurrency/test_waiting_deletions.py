"""Deletions and redactions wait for a handler at work on a failed message, and hold nothing."""

import pytest

from tests.concurrency.sessions import Open

_CALLS = {
    "truncate_stream": "SELECT truncate_stream(%s, 2)",
    "delete_stream": "SELECT delete_stream(%s, NULL)",
    "redact_message": "SELECT redact_message((SELECT m.message_id FROM messages AS m JOIN streams"
    " AS s USING (stream_id) WHERE s.stream = %s AND m.version = 1), '0', 'reason')",
    "empty_store": "SELECT empty_store(current_schema()) WHERE %s <> ''",
}


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
@pytest.mark.parametrize("call", _CALLS)
def test_deletion_waits_for_the_handler_and_lets_writers_through(
    session: Open, stream: str, call: str, end: str
) -> None:
    handler, deleting, writer = session("handler"), session("deleting"), session("writer")
    writer.write(stream)
    name = f"{call}-{end}-{stream}"
    handler.run(
        "SELECT create_subscription(%s, ARRAY[category(%s)], retry_delay => '0')", name, stream
    )
    claim = "SELECT partition, token, global_position FROM claim_batch(ARRAY[%s], 'me')"
    for failing in (True, False):
        ((partition, token, position), *_) = handler.run(claim, name)
        if failing:
            handler.run("SELECT fail_message(%s,%s,%s,%s,'it')", name, partition, token, position)
    handler.begin()
    # Holds the partition, whose error is still there for all others.
    handler.run("SELECT acknowledge(%s, %s, %s, %s)", name, partition, token, position)

    waiting = deleting.start(_CALLS[call], stream).blocked_by(handler)
    assert deleting.lock_keys("stream", deleting.pid) == []
    assert writer.write(stream)[0] == 2
    handler.write(stream)
    handler.run(end)

    assert waiting.sqlstate() is None
    errors = "SELECT count(*) FROM list_partitions() WHERE subscription = %s AND error IS NOT NULL"
    assert writer.number(errors, name) == 0
