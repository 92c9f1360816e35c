"""Redactions that wait for a stream's lock, and what other sessions change meanwhile."""

from uuid import uuid4

from tests.concurrency.sessions import Open

_WRITE = "SELECT write_message(%s, 'T', '1', %s, message_id => %s)"
_REDACT = "SELECT redact_message(%s, '0', 'reason', %s)"


def test_redaction_that_waits_for_another_one_adds_no_message_to_a_subscription(
    session: Open, stream: str
) -> None:
    first, second, message_id = session("first"), session("second"), uuid4()
    chosen = f'{{"of": "{stream}"}}'
    first.run("SELECT create_subscription(%s, metadata => %s)", stream, chosen)
    first.run(_WRITE, stream, chosen, message_id)
    first.begin()
    first.run(_REDACT, message_id, "{}")

    waiting = second.start(_REDACT, message_id, chosen).blocked_by(first)
    first.commit()

    assert waiting.sqlstate() == "22023"


def test_redaction_that_waits_for_a_writer_sees_the_filter_of_after(
    session: Open, stream: str
) -> None:
    writer, second, admin, message_id = session("writer"), session("2nd"), session("3rd"), uuid4()
    chosen = f'{{"of": "{stream}"}}'
    writer.run("SELECT create_subscription(%s, metadata => %s)", stream, '{"of": "none"}')
    writer.run(_WRITE, stream, None, message_id)
    writer.begin()
    writer.write(stream)

    waiting = second.start(_REDACT, message_id, chosen).blocked_by(writer)
    admin.run("SELECT refilter_subscription(%s, metadata => %s)", stream, chosen)
    writer.commit()

    assert waiting.sqlstate() == "22023"
