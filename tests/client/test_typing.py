"""What mypy says about a program that uses pgstore: right use passes, wrong use does not.

In the program, `# E: code` at the end of a line is an error that mypy must report there, and
`# R: type` the type that it must reveal there. It must report nothing else.
"""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

PROGRAM = """
import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Annotated, Any, Union
from uuid import UUID, uuid4

import attrs
import msgspec
import psycopg
import pydantic
from psycopg.rows import DictRow, dict_row
from psycopg_pool import (
    AsyncConnectionPool, AsyncNullConnectionPool, ConnectionPool, NullConnectionPool
)

import pgstore

class A(msgspec.Struct):
    num: int

class B(msgspec.Struct):
    text: str

class C(msgspec.Struct):
    pass

@dataclasses.dataclass
class D:
    pass

@attrs.define
class E:
    pass

class F(pydantic.BaseModel):
    pass

class Own(psycopg.Connection[tuple[Any, ...]]):
    pass

Event = A | B

one = pgstore.MessageStore[A]("", messages=A)
inferred = pgstore.MessageStore("", messages=A)
two = pgstore.MessageStore[A | B]("", messages=A | B)
alias = pgstore.MessageStore[Event](store="bank", messages=Event)
mapped = pgstore.MessageStore[A | B](messages={"a": A, "b": B, "old": A}, create=False)
mixed = pgstore.MessageStore[A | D | E | F](messages=A | D | E | F)
aone = pgstore.AsyncMessageStore[A]("", messages=A)
atwo = pgstore.AsyncMessageStore[A | B]("", messages=A | B)

reveal_type(inferred)  # R: MessageStore[A]
reveal_type(one.write("s", A(1)))  # R: MessagePosition
reveal_type(two.write_many("s", [A(1), B("x")]))  # R: MessagePosition
reveal_type(next(one.read("s")))  # R: StoredMessage[A]
reveal_type(two.read("s", backward=True, max_count=3))  # R: Iterator[StoredMessage[A | B]]
reveal_type(next(two.read("s")).message)  # R: A | B
reveal_type(next(mapped.read("s")).message)  # R: A | B
reveal_type(two.last("s"))  # R: StoredMessage[A | B] | None
reveal_type(two.get(uuid4()))  # R: StoredMessage[A | B]
reveal_type(two.get_many([uuid4()]))  # R: dict[UUID, StoredMessage[A | B]]
reveal_type(two.stream_version("s"))  # R: int
reveal_type(two.raw)  # R: MessageStore[RawMessage]
reveal_type(two.get(uuid4()).metadata)  # R: Mapping[str, object] | None
reveal_type(two.synchronize("s", [A(1)], expected_version=0))  # R: MessagePosition

async def asynchronous(conn: psycopg.AsyncConnection, plain: psycopg.Connection) -> None:
    reveal_type(await aone.write("s", A(1)))  # R: MessagePosition
    reveal_type(await atwo.write("s", B("x")))  # R: MessagePosition
    reveal_type(atwo.read("s"))  # R: AsyncIterator[StoredMessage[A | B]]
    async for stored in aone.read("s"):
        reveal_type(stored)  # R: StoredMessage[A]
    async with atwo.transaction() as own, pgstore.AsyncMessageStore[A](messages=A) as opened:
        await opened.write("s", A(1), conn=own, expected_version=0, metadata={"a": 1})
    await aone.write("s", A(1), conn=conn)
    await aone.write("s", A(1), conn=plain)  # E: arg-type
    await aone.write("s", B("x"))  # E: arg-type
    aone.write("s", A(1))  # E: unused-coroutine
    match (await atwo.get(uuid4())).message:
        case A(num):
            reveal_type(num)  # R: int
        case B(text):
            reveal_type(text)  # R: str

def connections(
    plain: psycopg.Connection,
    dicts: psycopg.Connection[DictRow],
    anything: psycopg.Connection[Any],
    other: psycopg.AsyncConnection,
) -> None:
    one.write("s", A(1), conn=plain)
    one.write("s", A(1), conn=dicts)
    one.write("s", A(1), conn=anything)
    one.read("s", conn=dicts)
    one.write("s", A(1), conn=other)  # E: arg-type
    one.write("s", A(1), conn="postgresql:")  # E: arg-type
    with two.transaction() as own:
        two.write("s", A(1), conn=own)

def pools(
    plain: ConnectionPool,
    dicts: ConnectionPool[psycopg.Connection[DictRow]],
    nothing: NullConnectionPool,
    own: ConnectionPool[Own],
    other: AsyncConnectionPool,
    adicts: AsyncConnectionPool[psycopg.AsyncConnection[DictRow]],
    anothing: AsyncNullConnectionPool,
) -> None:
    pgstore.MessageStore[A](plain, messages=A)
    pgstore.MessageStore[A](dicts, messages=A)
    pgstore.MessageStore[A](own, messages=A)
    pgstore.MessageStore[A | B](nothing, messages=A | B)
    pgstore.AsyncMessageStore[A](other, messages=A)
    pgstore.AsyncMessageStore[A](adicts, messages=A)
    pgstore.AsyncMessageStore[A | B](anothing, messages=A | B)
    pgstore.MessageStore[A](other, messages=A)  # E: call-overload
    pgstore.AsyncMessageStore[A](plain, messages=A)  # E: call-overload

class Empty(msgspec.Struct, frozen=True):
    pass

class Full(msgspec.Struct, frozen=True):
    num: int

def evolve(state: Empty | Full, message: A | B) -> Empty | Full:
    return state

def total(state: int, message: A) -> int:
    return state

boxes = two.decider(evolve, Empty | Full, initial=Empty, snapshots=pgstore.Snapshots("boxes"))
reveal_type(boxes)  # R: Decider[Empty | Full, A | B]
reveal_type(two.decider(evolve, Empty))  # R: Decider[Empty | Full, A | B]
reveal_type(one.decider(total, int))  # R: Decider[int, A]
state, version = boxes.load("s", at_version=3)
reveal_type(state)  # R: Empty | Full
reveal_type(version)  # R: int
reveal_type(boxes.decide("s", lambda state: B("x")).position)  # R: MessagePosition | None
boxes.decide("s", lambda state: [A(1), B("x")])
boxes.decide("s", lambda state: None)
boxes.decide("s", lambda state: C())  # E: return-value
one.decider(evolve, Empty)
two.decider(total, int)  # E: arg-type
two.decider(lambda state: state, int)  # E: arg-type

class Account:
    def __init__(self, id: str) -> None:
        self.id = id
        self.version = 0
        self.changes: list[A] = []

    def evolve(self, message: A) -> None: ...

accounts = one.repository(Account, "account", cache=10)
reveal_type(accounts)  # R: Repository[Account, A]
reveal_type(accounts.get("1"))  # R: Account
reveal_type(accounts.save(Account("1")))  # R: MessagePosition | None
with accounts.edit("1") as edited:
    reveal_type(edited)  # R: Account
accounts.add(C())  # E: arg-type
one.repository(C, "account")  # E: type-var

async def states() -> None:
    loaded = await aone.decider(total, int).load("s")
    reveal_type(loaded.state)  # R: int
    async with aone.transaction() as conn, aone.repository(Account, "a").edit("1") as each:
        reveal_type(each)  # R: Account
        await aone.decider(total, int).decide("s", lambda _: A(1), conn=conn)

one.write("s", B("x"))  # E: arg-type
two.write("s", C())  # E: arg-type
two.write("s", {"num": 1})  # E: arg-type
two.write("s", A)  # E: arg-type
two.write_many("s", [A(1), C()])  # E: list-item
two.synchronize("s", [C()], expected_version=0)  # E: list-item
two.synchronize("s", [A(1)])  # E: call-arg
two.write("s", A(1), 0)  # E: call-arg
two.write(b"s", A(1))  # E: arg-type
two.write("s", A(1), expected_version="0")  # E: arg-type
two.write("s", A(1), metadata=[1])  # E: arg-type
two.read("s", 1)  # E: call-arg
two.get("no id")  # E: arg-type
two.raw.write("s", A(1))  # E: arg-type
pgstore.MessageStore[A](messages=B)  # E: arg-type
pgstore.MessageStore[A](messages={"b": B})  # E: dict-item
pgstore.MessageStore[A]()  # E: call-overload
pgstore.MessageStore[A]("", "bank", messages=A)  # E: call-overload
next(one.read("s")).version = 3  # E: misc

reveal_type(two.read_all(types=[A, "B"], max_count=3))  # R: Iterator[StoredMessage[A | B]]
reveal_type(next(two.read_category("s")).message)  # R: A | B
reveal_type(two.follow(category="s"))  # R: Follower[A | B]
for followed in one.follow():
    reveal_type(followed)  # R: StoredMessage[A]
with two.follow() as follower:
    reveal_type(follower)  # R: Follower[A | B]
    reveal_type(follower.position)  # R: int
reveal_type(two.safe_position())  # R: int
two.read_all(after_position="0")  # E: arg-type
two.follow(timeout="1")  # E: arg-type
two.follow(0)  # E: call-arg

balances = two.subscription("balances", category="account", partitions=8, on_failure="park")
reveal_type(balances)  # R: Subscription[A | B]
reveal_type(balances.parked())  # R: list[ParkedMessage]
reveal_type(balances.partitions()[0].checkpoint)  # R: int
two.subscription("balances", on_failure="ignore")  # E: arg-type
two.subscription("balances", start="begin")  # E: arg-type

@balances.handler
def deposited(message: pgstore.StoredMessage[A], tx: psycopg.Connection) -> None:
    reveal_type(message.message.num)  # R: int

@balances.handler
def withdrawn(message: B) -> None: ...

@balances.batch_handler
def both(messages: list[pgstore.StoredMessage[A | B]], tx: psycopg.Connection) -> None: ...

reveal_type(deposited)  # R: def (message: StoredMessage[A], tx: Connection[tuple[Any, ...]])
reveal_type(two.run_once(balances))  # R: int
two.run(balances, workers=4, hooks=pgstore.RunnerHooks())
one.run(balances)  # E: arg-type
two.run("balances")  # E: arg-type
aone.subscription("balances").wait_until(3)  # E: unused-coroutine

async def subscriptions() -> None:
    async for followed in aone.follow(timeout=1):
        reveal_type(followed)  # R: StoredMessage[A]
    async for message in atwo.read_all():
        reveal_type(message.message)  # R: A | B
    own = atwo.subscription("balances")
    @own.handler
    async def on_a(message: A, tx: psycopg.AsyncConnection) -> None: ...
    await own.wait_until(3, timeout=1)
    await atwo.run(own)
    await atwo.run(balances)  # E: arg-type

try:
    two.write("s", A(1))
except pgstore.OptimisticConcurrencyError as error:
    reveal_type(error.actual_version)  # R: int
    reveal_type(error.stream)  # R: str
except pgstore.MessageIdInUseError as error:
    reveal_type(error.message_id)  # R: UUID
except pgstore.PgstoreError as error:
    reveal_type(error)  # R: PgstoreError
"""


def expected() -> dict[int, str]:
    marks = re.compile(r"# ([ER]): (.+)$")
    return {
        number: ("error: " if found[1] == "E" else "") + found[2]
        for number, line in enumerate(PROGRAM.splitlines(), 1)
        if (found := marks.search(line))
    }


def reported(output: str) -> Mapping[int, str]:
    """What mypy said, by line; without the modules' names."""
    said: dict[int, str] = {}
    for line in output.splitlines():
        place = re.match(r".*program\.py:(\d+): (error|note): (.*)$", line)
        if not place:
            continue
        number, text = int(place[1]), place[3]
        if place[2] == "error":
            said[number] = "error: " + text.rsplit("[", 1)[1].rstrip("]")
        elif found := re.fullmatch(r'Revealed type is "(.*)"', text):
            said[number] = re.sub(r"\b(?:\w+\.)+", "", found[1])
    return said


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    program = tmp_path_factory.mktemp("typing") / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary"]
    done = subprocess.run(
        [*command, str(program)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.stdout


def test_mypy_says_what_it_should(output: str) -> None:
    assert reported(output) == expected()


def test_mypy_finds_nothing_wrong_with_the_package(output: str) -> None:
    assert [line for line in output.splitlines() if "program.py" not in line] == []
