"""What mypy says of tests that are written with `given` and `handle`."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

PROGRAM = """\
import psycopg
import pgstore
from typing import Any
from pgstore.testing import compare_messages, given, handle, stored

class A:
    num: int

class B:
    text: str

class C: ...

class Account:
    balance: int

class Wallet:
    id: str
    version: int
    changes: list[A | B]
    def __init__(self, id: str) -> None: ...
    def evolve(self, message: A | B) -> None: ...
    def move(self, amount: int) -> None: ...

def evolve(account: Account, message: A | B) -> Account: return account
def decide(account: Account, amount: int, *, note: str = "") -> A: return A()
def several(account: Account) -> list[B]: return []
def nothing(account: Account) -> None: ...
def wrong(account: Account) -> C: return C()

store = pgstore.MessageStore[A | B](messages=A | B)
astore = pgstore.AsyncMessageStore[A | B](messages=A | B)
accounts = store.decider(evolve, Account)
wallets = astore.repository(Wallet, "wallet")

case = given(accounts, A(), B(), pgstore.RawMessage("A", b""))
reveal_type(case)  # R: Deciding[Account, A | B]
reveal_type(case.state)  # R: Account
outcome = case.when(decide, 1, note="x")
reveal_type(outcome)  # R: Outcome[Account, A | B]
reveal_type(outcome.messages)  # R: tuple[A | B, ...]
reveal_type(outcome.then(A()).state)  # R: Account
outcome.then(ValueError)
outcome.then(ValueError("x"))
outcome.then()
case.when(several).then(B())
case.when(nothing).then()
case.when(lambda account: A())
case.when(lambda account: [A(), B()])
outcome.then(C())  # E: arg-type
outcome.then(1)  # E: arg-type
given(accounts, C())  # E: misc
given(store)  # E: call-overload
case.when(decide)  # E: call-arg
case.when(decide, "1")  # E: arg-type
case.when(wrong)  # E: arg-type
reveal_type(given(wallets, A(), id="7").when(Wallet.move, 1).state)  # R: Wallet
given(wallets).when(Wallet.move, "1")  # E: arg-type

subscription = store.subscription("s")
asubscription = astore.subscription("s")
reveal_type(handle(subscription, A(), stored(B()), stream="a-1"))  # R: int
handle(subscription, C())  # E: misc
reveal_type(given(subscription, A()).when(B()))  # R: Outcome[None, A | B]
reveal_type(stored(A()))  # R: StoredMessage[A]

async def main(conn: psycopg.AsyncConnection) -> None:
    reveal_type(await handle(asubscription, A(), conn=conn))  # R: int
    handle(asubscription, A())  # E: unused-coroutine
    (await given(asubscription).when(A())).then(B())
    handle(subscription, A(), conn=conn)  # E: call-overload

compare_messages(store.read("a-1"), A(), B())
compare_messages(store.read("a-1"), C())  # E: misc
"""


def test_given_and_handle_keep_the_types(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary"]
    done = subprocess.run([*command, str(program)], cwd=ROOT, capture_output=True, text=True)
    expected = {
        number: ("error: " if found[1] == "E" else "") + found[2]
        for number, line in enumerate(PROGRAM.splitlines(), 1)
        if (found := re.search(r"# ([ER]): (.+)$", line))
    }
    said: dict[int, str] = {}
    for line in done.stdout.splitlines():
        place = re.match(r".*program\.py:(\d+): (error|note): (.*)$", line)
        assert place, line
        if place[2] == "error":
            said[int(place[1])] = "error: " + place[3].rsplit("[", 1)[1].rstrip("]")
        elif found := re.fullmatch(r'Revealed type is "(.*)"', place[3]):
            said[int(place[1])] = re.sub(r"\b(?:\w+\.)+", "", found[1])
    assert said == expected
