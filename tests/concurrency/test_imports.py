"""An import of messages with tags beside writes on a condition: the condition sees them."""

import json
from uuid import uuid4

import pytest

from tests.concurrency.sessions import Open, Session, Step

READ = "SELECT * FROM read_tagged(%s::jsonb)"
IMPORT = """
SELECT imported FROM import_messages(
  ARRAY[%s::text], '{1}', '{Enrolled}', '{0}', NULL, ARRAY[%s::uuid], '{2026-01-02 03:04:05+00}',
  global_positions => CASE WHEN %s THEN ARRAY[last_position() + 1000] END,
  tags => ARRAY[%s::jsonb]
)
"""
WRITE = """
SELECT version, global_position FROM write_message(
  %s, 'Enrolled', '{}', tags => %s::text[], condition => %s::jsonb, decided_upon => %s
)
"""
each_way = pytest.mark.parametrize("keeps_positions", [True, False])


@pytest.fixture
def tag() -> str:
    return f"course:{uuid4().hex}"


def query(tag: str) -> str:
    return json.dumps([{"tags": [f"room:{tag}"]}, {"tags": [tag]}])


def decided(session: Session, tag: str) -> str:
    return str(session.run(READ, query(tag))[-1][-1])


def start_import(session: Session, tag: str, *, keeps_positions: bool) -> Step:
    stream = f"enrolment-{uuid4().hex}"
    return session.start(IMPORT, stream, uuid4(), keeps_positions, json.dumps(["x", tag]))


def start_write(session: Session, tag: str, token: str, stream: str | None = None) -> Step:
    return session.start(WRITE, stream or f"enrolment-{uuid4().hex}", [tag], query(tag), token)


@each_way
@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_condition_waits_for_an_import_of_a_match(
    session: Open, stream: str, tag: str, keeps_positions: bool, ends: str, exists: bool
) -> None:
    """The import locks the table instead of the tags of its messages."""
    importer, writer = session("importer"), session("writer")
    if exists:  # otherwise the write looks twice
        writer.write(stream)
    token = decided(writer, tag)
    importer.begin()
    start_import(importer, tag, keeps_positions=keeps_positions).rows()
    waiting = start_write(writer, tag, token, stream).blocked_by(importer)
    getattr(importer, ends)()
    assert waiting.sqlstate() == ("MS009" if ends == "commit" else None)


@each_way
def test_import_of_a_match_waits_for_a_condition(
    session: Open, tag: str, keeps_positions: bool
) -> None:
    importer, writer = session("importer"), session("writer")
    token = decided(writer, tag)
    writer.begin()
    start_write(writer, tag, token).place()
    waiting = start_import(importer, tag, keeps_positions=keeps_positions).blocked_by(writer)
    writer.commit()
    assert waiting.rows() == [(1,)]
    assert start_write(writer, tag, token).sqlstate() == "MS009"


@each_way
def test_import_that_waits_for_a_writer_is_seen_by_the_condition_behind_it(
    session: Open, stream: str, tag: str, keeps_positions: bool
) -> None:
    importer, other, writer = session("importer"), session("other"), session("writer")
    mine = f"{stream}-mine"
    writer.write(mine)
    token = decided(writer, tag)
    other.begin()
    other.write(stream)
    importing = start_import(importer, tag, keeps_positions=keeps_positions).blocked_by(other)
    waiting = start_write(writer, tag, token, mine).blocked_by(importer)
    other.commit()
    assert importing.rows() == [(1,)]
    assert waiting.sqlstate() == "MS009"
