"""The story of `python -m pgstore demo`: a user's statements, run on a server of its own.

The story is a transcript of Python and psql. Its statements run one after the other. The output of
each is printed, and compared with the transcript.
"""

import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg

import pgstore
from pgstore.embedded import EmbeddedServerError, Server

STORY = """\
1. MESSAGE TYPES ARE CLASSES

msgspec Structs here; dataclasses, attrs classes and pydantic models work as
well. A store is a schema in the database. It is created on first use.

>>> from uuid import UUID, uuid4
>>> import msgspec, psycopg, pgstore

>>> class EventA(msgspec.Struct):
...     num: int

>>> class EventB(msgspec.Struct):
...     text: str

>>> store = pgstore.MessageStore[EventA | EventB](
...     conninfo, store="example_docs2", messages=EventA | EventB)

2. WRITE A MESSAGE TO A STREAM, AND READ IT

version is the message's place in its stream, global_position its place in the
store.

>>> store.write("stream-1", EventA(num=42))
MessagePosition(stream='stream-1', version=1, global_position=1)

>>> stored = next(store.read("stream-1"))
>>> stored.version, stored.message
(1, EventA(num=42))

3. OPTIMISTIC CONCURRENCY

Say at which version you have seen the stream. If somebody else has written to
it since, your write is refused and nothing is stored.

>>> try:
...     store.write("stream-1", EventA(num=23), expected_version=0)
... except pgstore.OptimisticConcurrencyError as error:
...     print(error)
stream stream-1 is at version 1, expected version 0

>>> store.write("stream-1", EventA(num=23), expected_version=1)
MessagePosition(stream='stream-1', version=2, global_position=2)

4. THE SAME STREAM FROM SQL

The rules are in the database, so psql and every driver get the same ones. The
statements below run in psql.

demo=> SELECT * FROM example_docs2.write_message(
demo->   'stream-1', 'EventB', '{"text": "from psql"}', expected_version => 2);
 version | global_position
---------+-----------------
       3 |               3
(1 row)

demo=> SELECT version, type, data FROM example_docs2.read_stream('stream-1');
 version |  type  |         data
---------+--------+-----------------------
       1 | EventA | {"num": 42}
       2 | EventA | {"num": 23}
       3 | EventB | {"text": "from psql"}
(3 rows)

demo=> SELECT * FROM example_docs2.write_message(
demo->   'stream-1', 'EventB', '{"text": "too late"}', expected_version => 2);
ERROR:  MS001: stream stream-1 is at version 3, expected version 2
DETAIL:  {"stream" : "stream-1", "expected_version" : 2, "actual_version" : 3}

Python reads what SQL has written:

>>> store.last("stream-1").message
EventB(text='from psql')

5. SEVERAL STREAMS AND YOUR OWN TABLE IN ONE TRANSACTION

Pass your connection as conn: the messages belong to your transaction then, and
your code commits it or rolls it back.

demo=> CREATE TABLE orders (id bigint PRIMARY KEY, state text NOT NULL);
CREATE TABLE

>>> with psycopg.connect(conninfo) as conn:
...     _ = conn.execute("INSERT INTO orders VALUES (7, 'paid')")
...     print(store.write("order-7", EventB(text="paid"), conn=conn))
...     print(store.write("account-3", EventA(num=-20), conn=conn))
MessagePosition(stream='order-7', version=1, global_position=4)
MessagePosition(stream='account-3', version=1, global_position=5)

The next one fails at its last statement, so nothing of it stays:

>>> try:
...     with psycopg.connect(conninfo) as conn:
...         _ = conn.execute("INSERT INTO orders VALUES (8, 'paid')")
...         _ = store.write("order-8", EventB(text="paid"), conn=conn)
...         store.write(
...             "account-3", EventA(num=-5), expected_version=0, conn=conn)
... except pgstore.OptimisticConcurrencyError as error:
...     print(error)
stream account-3 is at version 1, expected version 0

>>> store.stream_version("order-8")
0

demo=> SELECT id, state FROM orders;
 id | state
----+-------
  7 | paid
(1 row)

6. A RETRY THAT IS SAFE

The connection broke and you do not know if the write arrived? Send it again.
The same message with the same id, at the same place, is stored once.

>>> class Deposited(msgspec.Struct):
...     event_id: UUID
...     amount: int
...
...     def get_message_id(self) -> UUID:
...         return self.event_id

>>> bank = pgstore.MessageStore[Deposited](
...     conninfo, store="bank", messages=Deposited)
>>> deposited = Deposited(event_id=uuid4(), amount=10)
>>> bank.write("account-1", deposited, expected_version=0)
MessagePosition(stream='account-1', version=1, global_position=1)

>>> bank.write("account-1", deposited, expected_version=0)
MessagePosition(stream='account-1', version=1, global_position=1)

>>> bank.stream_version("account-1")
1

Anywhere else the id is refused, so no message is stored twice:

>>> try:
...     bank.write("account-2", deposited)
... except pgstore.MessageIdInUseError as error:
...     print(error.sqlstate, error.stream, error.version)
MS002 account-1 1

7. A SUBSCRIPTION, HANDLED EXACTLY ONCE

A subscription reads many streams in order and remembers how far it is. The
handler gets the connection whose transaction moves the checkpoint too: what it
writes there happens once, whatever crashes.

demo=> CREATE TABLE balances (
demo->   account text PRIMARY KEY, balance bigint NOT NULL);
CREATE TABLE

>>> balances = bank.subscription("balances", category="account", partitions=4)

>>> @balances.handler
... def deposited(
...     stored: pgstore.StoredMessage[Deposited], tx: psycopg.Connection
... ) -> None:
...     tx.execute(
...         "INSERT INTO balances AS b VALUES (%s, %s) ON CONFLICT (account)"
...         " DO UPDATE SET balance = b.balance + excluded.balance",
...         [stored.stream, stored.message.amount])

>>> for account, amount in ("account-1", 5), ("account-2", 20):
...     _ = bank.write(account, Deposited(event_id=uuid4(), amount=amount))

>>> bank.run_once(balances)
3

demo=> SELECT account, balance FROM balances ORDER BY account;
  account  | balance
-----------+---------
 account-1 |      15
 account-2 |      20
(2 rows)

Nothing is left to do. A worker process calls bank.run(balances, workers=4)
instead, which goes on until SIGTERM; several of them share the partitions.

>>> bank.run_once(balances)
0

8. FOLLOW WHAT HAPPENS

What there is, and then what comes, in the order of the whole store, without
polling. Here another thread writes a little later. Without a timeout it would
go on for ever.

>>> import threading
>>> late = Deposited(event_id=uuid4(), amount=7)
>>> threading.Timer(0.3, bank.write, ["account-2", late]).start()

>>> for stored in bank.follow(category="account", timeout=2):
...     print(stored.stream, stored.version, stored.message.amount)
account-1 1 10
account-1 2 5
account-2 1 20
account-2 2 7

9. THE SAME WITH ASYNCIO

>>> import asyncio

>>> async def read_all() -> list[EventA | EventB]:
...     async with pgstore.AsyncMessageStore[EventA | EventB](
...         conninfo, store="example_docs2", messages=EventA | EventB
...     ) as store:
...         await store.write("stream-1", EventA(num=7), expected_version=3)
...         return [stored.message async for stored in store.read("stream-1")]

>>> for message in asyncio.run(read_all()):
...     print(message)
EventA(num=42)
EventA(num=23)
EventB(text='from psql')
EventA(num=7)

>>> store.close(); bank.close()
"""

GO_ON = """\
Everything came back as expected. The server of this demo is stopped now, and
its data is gone. How to go on:

  - With a PostgreSQL server (14 to 18) of yours:
      pip install "pgstore[binary]"
      python -m pgstore install --store bank \\
        --conninfo postgresql://localhost/demo
  - Without one, in a folder that keeps its data:
      from pgstore.embedded import Server
      with Server("bank-data") as server: ...   # server.conninfo, server.psql
  - From psql alone:
      psql -v schema=bank -f "$(python -m pgstore sql-path)/install.sql"
  - The pages in docs/ explain all of this: quickstart.md first.
"""

_TITLE = re.compile(r"\d+\. [A-Z ,]+")
_PSQL = ("-X", "-v", "VERBOSITY=verbose", "-v", "SHOW_CONTEXT=never")


class UnexpectedResultError(Exception):
    """A statement did not give what the story says."""

    def __init__(self, expected: str) -> None:
        super().__init__(f"expected was\n{expected or 'nothing'}")


def main() -> int:
    """Tell the story; the exit code is 0 if everything in it is true."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # whatever the terminal can show
    try:
        with without_libpq_environment():
            tell_story()
    except (EmbeddedServerError, UnexpectedResultError) as error:
        sys.stdout.flush()
        print(f"\nerror: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the server of this demo is stopped", file=sys.stderr)
        return 130
    return 0


@contextlib.contextmanager
def without_libpq_environment() -> Iterator[None]:
    """Leave out what PGHOST, PGOPTIONS, PGSERVICE … say: it is meant for other servers."""
    hidden = {name: value for name, value in os.environ.items() if name.startswith("PG")}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


def tell_story() -> None:
    with Server() as server:
        with psycopg.connect(server.conninfo) as conn:
            version = conn.info.parameter_status("server_version")
        print("Every statement below is run now, and what comes back is checked.")
        print(f"PostgreSQL {version} was started for it in {server.folder}.\n")
        namespace: dict[str, Any] = {"__name__": "demo", "conninfo": server.conninfo}
        try:
            for paragraph in STORY.split("\n\n"):
                if paragraph.startswith(">>> "):
                    tell_python(paragraph, namespace)
                elif paragraph.startswith("demo=> "):
                    tell_sql(paragraph, server)
                else:
                    print(bold(paragraph) if _TITLE.fullmatch(paragraph) else paragraph)
                print()
        except KeyboardInterrupt:
            threading.excepthook = lambda _: None  # of the story's timer, which finds no server
            raise
        finally:
            for value in namespace.values():
                if isinstance(value, pgstore.MessageStore):
                    value.close()
    print(GO_ON, end="")


class Teller(doctest.DebugRunner):
    """Print each statement when it is run, and its output."""

    def report_start(
        self, out: Callable[[str], object], test: doctest.DocTest, example: doctest.Example
    ) -> None:
        first, *more = example.source.splitlines()
        out("\n".join([f">>> {first}", *(f"... {line}".rstrip() for line in more), ""]))

    def report_success(
        self,
        out: Callable[[str], object],
        test: doctest.DocTest,
        example: doctest.Example,
        got: str,
    ) -> None:
        out(got)


def tell_python(paragraph: str, namespace: dict[str, Any]) -> None:
    """Run statements of Python as its interactive interpreter does."""
    examples = doctest.DocTestParser().get_examples(paragraph)
    # A DocTest copies the namespace that it is given.
    test = doctest.DocTest(examples, {}, "demo", None, None, None)
    test.globs = namespace
    try:
        Teller().run(test, clear_globs=False)
    except doctest.DocTestFailure as failure:
        print(failure.got, end="")
        raise UnexpectedResultError(failure.example.want) from None
    except doctest.UnexpectedException as unexpected:
        print(repr(unexpected.exc_info[1]))
        raise UnexpectedResultError(unexpected.example.want) from unexpected.exc_info[1]


def tell_sql(paragraph: str, server: Server) -> None:
    """Run a statement of SQL in psql."""
    lines = paragraph.splitlines()
    typed = [line for line in lines if re.match("demo[=-]> ", line)]
    print(*typed, sep="\n")
    statement = "\n".join(line[len("demo=> ") :] for line in typed)
    done = subprocess.run(
        [server.psql, *_PSQL, "-c", statement, server.conninfo],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    # Not a hint, which is too wide, nor the line of PostgreSQL's source, which differs by release.
    lines_left = re.sub("(?m)^(HINT|LOCATION):.*\n", "", done.stdout).splitlines()
    returned = "\n".join(map(str.rstrip, lines_left)).strip("\n")
    print(returned)
    if returned != (expected := "\n".join(lines[len(typed) :])):
        raise UnexpectedResultError(expected)


def bold(text: str) -> str:
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"\033[1m{text}\033[0m"
