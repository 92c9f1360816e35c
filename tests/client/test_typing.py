"""What mypy and pyright say about a program that uses pgstore: right passes, wrong does not.

In the program, `# E: code` at the end of a line is an error that mypy must report there, with that
code, and pyright with any; `# R: type` is the type that mypy must reveal there. They must report
nothing else. pyright is basedpyright, whose package brings Node.js: the original fetches it.
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

PROGRAM = """
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import attrs
import msgspec
import psycopg
import pydantic
from psycopg.rows import DictRow
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
    one.write("s", A(1), conn=b"postgresql:")  # E: arg-type
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
    pgstore.MessageStore[A](other, messages=A)  # E: arg-type
    pgstore.AsyncMessageStore[A](plain, messages=A)  # E: arg-type

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
reveal_type(accounts.add(Account("1")))  # R: MessagePosition
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
pgstore.MessageStore[A]()  # E: call-arg
pgstore.MessageStore[A]("", "bank", messages=A)  # E: arg-type
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

def one_message(message: A) -> None: ...
def stored_message(message: pgstore.StoredMessage[A | B]) -> None: ...
def with_transaction(message: A, tx: psycopg.Connection[Any]) -> None: ...
def with_rows(message: A, tx: psycopg.Connection[DictRow]) -> None: ...
def with_own(message: A, tx: Own) -> None: ...
def with_default(message: A, tx: psycopg.Connection | None = None) -> None: ...
async def awaited(message: A) -> None: ...
def other_transaction(message: A, tx: psycopg.AsyncConnection) -> None: ...
def other_order(tx: psycopg.Connection, message: A) -> None: ...
def three_parameters(message: A, tx: psycopg.Connection, more: int) -> None: ...
def no_parameter() -> None: ...
def keyword_only(*, message: A) -> None: ...

balances.handler(one_message)
balances.handler(stored_message)
balances.handler(with_transaction)
balances.handler(with_rows)
balances.handler(with_own)
balances.handler(with_default)
balances.handler()(one_message)
balances.handler(awaited)  # E: type-var
balances.handler(other_transaction)  # E: type-var
balances.handler(other_order)  # E: type-var
balances.handler(three_parameters)  # E: type-var
balances.handler(no_parameter)  # E: type-var
balances.handler(keyword_only)  # E: type-var
balances.handler("one_message")  # E: call-overload
balances.handler()(awaited)  # E: type-var

def all_messages(messages: list[pgstore.StoredMessage[A | B]]) -> None: ...
def any_messages(messages: list[pgstore.StoredMessage[Any]], tx: psycopg.Connection) -> None: ...
def in_sequence(messages: Sequence[pgstore.StoredMessage[A]]) -> None: ...
def batch_own(messages: list[pgstore.StoredMessage[A]], tx: Own) -> None: ...
def plain_list(messages: list[A]) -> None: ...
def single(message: pgstore.StoredMessage[A]) -> None: ...
async def awaited_batch(messages: list[pgstore.StoredMessage[A]]) -> None: ...
def batch_other(tx: psycopg.Connection, messages: list[pgstore.StoredMessage[A]]) -> None: ...

balances.batch_handler(all_messages)
balances.batch_handler(any_messages)
balances.batch_handler(in_sequence)
balances.batch_handler(batch_own)
balances.batch_handler(plain_list)  # E: type-var
balances.batch_handler(single)  # E: type-var
balances.batch_handler(awaited_batch)  # E: type-var
balances.batch_handler(batch_other)  # E: type-var

def around(message: object, tx: object, call: Callable[[], None]) -> None: ...
async def awaited_around(message: object, tx: object, call: Callable[[], None]) -> None: ...

balances.middleware(around)
balances.middleware(awaited_around)  # E: type-var

async def on_stored(message: pgstore.StoredMessage[A], tx: psycopg.AsyncConnection) -> None: ...
async def on_batch(messages: list[pgstore.StoredMessage[A]]) -> None: ...
async def on_wrong(message: A, tx: psycopg.Connection) -> None: ...

async def registered() -> None:
    own = atwo.subscription("balances")
    own.handler(awaited)
    own.handler(on_stored)
    own.batch_handler(on_batch)
    own.handler(one_message)  # E: type-var
    own.handler(on_wrong)  # E: type-var
    own.batch_handler(all_messages)  # E: type-var
    own.batch_handler(awaited)  # E: type-var
    reveal_type(await own.refilter(from_position=3))  # R: int
    reveal_type(await atwo.check_messages("sample.jsonl"))  # R: list[UnreadableMessage]

class Old(msgspec.Struct):
    number: str

def upcast(old: Old) -> A:
    return A(int(old.number))

def upcast_object(old: dict[str, Any]) -> A | None:
    return A(old["num"]) if old["num"] else None

def upcast_two(old: Old, more: int) -> A:
    return A(more)

upcaster = pgstore.Upcaster("Old", upcast)
changing = pgstore.MessageStore[A](
    messages=A, upcasters=[upcaster, pgstore.Upcaster("Object", upcast_object)]
)
reveal_type(next(changing.read("s")).message)  # R: A
reveal_type(changing.skipped)  # R: dict[str, int]
changing.write("s", Old("1"))  # E: arg-type
changing.subscription("s", types=[A], ignore=[B])
changing.subscription("s", ignore=3)  # E: arg-type
changing.check_messages(last="3")  # E: arg-type
pgstore.Upcaster("Old")  # E: call-arg
pgstore.Upcaster(upcast, "Old")  # E: arg-type
pgstore.Upcaster("Old", upcast_two)  # E: arg-type
pgstore.Upcaster("Old", "upcast")  # E: arg-type
pgstore.MessageStore[A](messages=A, upcasters=upcaster)  # E: arg-type
pgstore.MessageStore[A](messages=A, upcasters=[upcast])  # E: list-item

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


PYRIGHT = {
    "typeCheckingMode": "strict",
    "pythonVersion": "3.11",
    "extraPaths": [str(ROOT)],
}


def test_pyright_says_what_it_should(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(PYRIGHT))
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(
        [*command, "--project", str(tmp_path)], capture_output=True, text=True, check=False
    )
    found = {
        each["range"]["start"]["line"] + 1: each["message"]
        for each in json.loads(done.stdout)["generalDiagnostics"]
        if each["severity"] == "error"
    }
    wanted = {number for number, mark in expected().items() if mark.startswith("error: ")}
    assert {number: found[number] for number in found.keys() - wanted} == {}
    assert wanted - found.keys() == set()


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
