"""Writes that are cancelled, or lose their session, while they wait for the lock of a tag."""

import json
from uuid import uuid4

import pytest

from tests.concurrency.sessions import Open, Session, Step, until

WRITE = """
SELECT version, global_position FROM write_message(
  %s, 'Enrolled', '1', tags => %s, condition => %s, decided_upon => %s
)
"""
READ = "SELECT global_position, decided_upon FROM read_tagged(%s)"
BY_KEY = 'SELECT t.tag FROM unnest(%s::text[]) AS t (tag) ORDER BY hashtext(t.tag COLLATE "C")'
# Of all that a write locks.
KINDS = ("stream", "mark", "tag", "gate")

# The code of the error, and how another session has the server raise it.
INTERRUPTIONS = {
    "cancel": ("57014", "SELECT pg_cancel_backend(%s)"),
    "terminate": ("57P01", "SELECT pg_terminate_backend(%s)"),
}
LIMITS = {"statement_timeout": "57014", "lock_timeout": "55P03"}


class Scene:
    """A holder has written with the tag whose key is the highest, a waiter comes to it last.

    So the waiter has the locks of its other tags when it waits.
    """

    def __init__(self, session: Open, holder_decides: bool, waiter_decides: bool) -> None:
        self.waiter, self.holder, self.other = map(session, ("waiter", "holder", "other"))
        tags = [f"tag:{uuid4()}" for _ in range(4)]
        self.tags: list[str] = [tag for (tag,) in self.other.run(BY_KEY, tags)]
        self.stream = f"waiting-{uuid4()}"
        self.query = json.dumps([{"tags": [tag]} for tag in self.tags])
        self._waiter_decides = waiter_decides
        self.holder.begin()
        held = json.dumps([{"tags": self.tags[-1:]}]) if holder_decides else None
        self.write(self.holder, f"held-{uuid4()}", held).place()

    def write(self, session: Session, stream: str, query: str | None) -> Step:
        token = None if query is None else session.run(READ, query)[-1][-1]
        tags = self.tags[-1:] if session is self.holder else self.tags
        return session.start(WRITE, stream, tags, query, token)

    def start(self) -> Step:
        """Have the waiter write."""
        return self.write(self.waiter, self.stream, self.query if self._waiter_decides else None)

    def held(self) -> list[int]:
        """What the waiter has locked."""
        return [key for kind in KINDS for key in self.other.lock_keys(kind, self.waiter.pid)]

    def leaves_nothing(self) -> None:
        """Nothing is stored or locked: when the holder has gone, another one need not wait."""
        assert self.other.version(self.stream) == 0
        self.holder.rollback()
        assert self.other.run(READ, self.query)[:-1] == []
        self.other.run("SET lock_timeout = '1s'")
        self.write(self.other, self.stream, self.query).place()


# A decision waits for another one in shared mode first, in a block that is rolled back. For the
# writer of a match it waits in exclusive mode.
scenes = pytest.mark.parametrize(
    ("holder_decides", "waiter_decides"),
    [(True, True), (False, True), (True, False)],
    ids=["decision for decision", "decision for match", "match for decision"],
)


@scenes
@pytest.mark.parametrize("interruption", INTERRUPTIONS)
def test_an_interrupted_wait_for_a_tag_leaves_nothing(
    session: Open, interruption: str, holder_decides: bool, waiter_decides: bool
) -> None:
    scene = Scene(session, holder_decides, waiter_decides)
    code, interrupt = INTERRUPTIONS[interruption]
    step = scene.start().blocked_by(scene.holder)
    assert len(scene.other.lock_keys("tag", scene.waiter.pid)) == len(scene.tags) - 1
    scene.other.run(interrupt, scene.waiter.pid)
    assert step.sqlstate() == code
    until(lambda: scene.held() == [], "the waiter has no lock")
    scene.leaves_nothing()


@scenes
@pytest.mark.parametrize("limit", LIMITS)
def test_a_wait_for_a_tag_that_takes_too_long_leaves_nothing(
    session: Open, limit: str, holder_decides: bool, waiter_decides: bool
) -> None:
    scene = Scene(session, holder_decides, waiter_decides)
    scene.waiter.run(f"SET {limit} = '300ms'")
    assert scene.start().sqlstate() == LIMITS[limit]
    assert scene.held() == []
    scene.leaves_nothing()


@scenes
def test_a_transaction_goes_on_after_a_cancelled_wait_for_a_tag(
    session: Open, stream: str, holder_decides: bool, waiter_decides: bool
) -> None:
    scene = Scene(session, holder_decides, waiter_decides)
    scene.waiter.begin()
    scene.waiter.write(stream)
    before = scene.held()
    scene.waiter.run("SAVEPOINT s")
    step = scene.start().blocked_by(scene.holder)
    scene.other.run("SELECT pg_cancel_backend(%s)", scene.waiter.pid)
    assert step.sqlstate() == "57014"
    scene.waiter.run("ROLLBACK TO s")
    assert scene.held() == before
    scene.leaves_nothing()
    scene.waiter.commit()
    assert scene.held() == []
    assert scene.other.version(stream) == 1
