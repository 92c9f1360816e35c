"""The story of `python -m pgstore demo`: what a user does, run on a server of its own.

The story is a transcript. Its statements are run one after the other; what they give is printed,
and compared with what the transcript says, where `…` stands for anything.
"""

import contextlib
import io
import os
import re
import sys
import threading
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import psycopg

import pgstore
from pgstore.embedded import EmbeddedServerError, Server

WIDTH = 80

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
...     dsn, name="example_docs2", messages=EventA | EventB)

2. WRITE A MESSAGE TO A STREAM, AND READ IT

version is the message's place in its stream, global_position its place in the
store.

>>> store.write("stream-1", EventA(num=42))
MessagePosition(stream='stream-1', version=1, global_position=1)

>>> next(store.read("stream-1"))
StoredMessage(
    message_id=UUID('…'),
    stream='stream-1',
    version=1,
    message=EventA(num=42),
    global_position=1,
    added_at=…
)

3. OPTIMISTIC CONCURRENCY

Say at which version you have seen the stream. If somebody else has written to
it since, your write is refused and nothing is stored.

>>> store.write("stream-1", EventA(num=23), expected_version=0)
OptimisticConcurrencyError: stream stream-1 is at version 1, expected version 0

>>> store.write("stream-1", EventA(num=23), expected_version=1)
MessagePosition(stream='stream-1', version=2, global_position=2)

4. THE SAME STREAM FROM SQL

The rules are in the database, so psql and every driver get the same ones. The
statements below run on a plain psycopg connection, as you would type them in
psql.

demo=> SELECT * FROM example_docs2.write_message(
demo->   'stream-1', 'EventB', '{"text": "from psql"}', expected_version => 2);
 version | global_position
---------+-----------------
       3 |               3
(1 row)

demo=> SELECT version, type, data FROM example_docs2.read_stream('stream-1');
 version |  type  |          data
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

>>> with psycopg.connect(dsn) as conn:
...     conn.execute("INSERT INTO orders VALUES (7, 'paid')")
...     print(store.write("order-7", EventB(text="paid"), conn=conn))
...     print(store.write("account-3", EventA(num=-20), conn=conn))
MessagePosition(stream='order-7', version=1, global_position=4)
MessagePosition(stream='account-3', version=1, global_position=5)

The next one fails at its last statement, so nothing of it stays:

>>> with psycopg.connect(dsn) as conn:
...     conn.execute("INSERT INTO orders VALUES (8, 'paid')")
...     store.write("order-8", EventB(text="paid"), conn=conn)
...     store.write(
...         "account-3", EventA(num=-5), expected_version=0, conn=conn)
OptimisticConcurrencyError: stream account-3 is at version 1, expected version 0

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

>>> bank = pgstore.MessageStore[Deposited](dsn, name="bank", messages=Deposited)
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
...     bank.write(account, Deposited(event_id=uuid4(), amount=amount))

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
...         dsn, name="example_docs2", messages=EventA | EventB
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
      python -m pgstore install --dsn postgresql://localhost/demo --store bank
  - Without one, in a folder that keeps its data:
      from pgstore.embedded import Server
      with Server("bank-data") as server: ...   # server.dsn, server.psql
  - From psql alone:
      psql -v schema=bank -f "$(python -m pgstore sql-path)/install.sql"
  - The pages in docs/ explain all of this: quickstart.md first.
"""

# A statement begins with its prompt and goes on with the other one.
_PROMPTS = {">>> ": "...", "demo=> ": "demo->"}
_TITLE = re.compile(r"\d+\. [A-Z ,]+")
_NUMBERS = {psycopg.adapters.types[name].oid for name in ("int2", "int4", "int8", "numeric")}


class Statement(NamedTuple):
    """A statement of the story: its lines with their prompts, and what must come back."""

    prompt: str
    lines: list[str]
    expected: list[str]

    @property
    def code(self) -> str:
        return "\n".join(line[len(self.prompt) :] for line in self.lines)


class UnexpectedResultError(Exception):
    """A statement did not give what the story says."""


def main() -> int:
    """Tell the story; the exit code is 0 if everything in it is true."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # whatever the terminal can show
    try:
        with without_libpq_environment():
            tell_story()
        sys.stdout.flush()
    except (EmbeddedServerError, UnexpectedResultError) as error:
        sys.stdout.flush()
        print(f"\nerror: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the server of this demo is stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read this has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
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
    with Server() as server, psycopg.connect(server.dsn, autocommit=True) as conn:
        version = conn.info.parameter_status("server_version")
        print("Every statement below is run now, and what comes back is checked.")
        print(f"PostgreSQL {version} was started for it in {server.folder}.\n")
        namespace: dict[str, object] = {"__name__": "demo", "dsn": server.dsn}
        try:
            for part in parts(STORY):
                if isinstance(part, str):
                    print(bold(part) if _TITLE.fullmatch(part) else part)
                else:
                    tell(part, namespace, conn)
        except KeyboardInterrupt:
            threading.excepthook = lambda _: None  # of the story's timer, which finds no server
            raise
        finally:
            for value in namespace.values():
                if isinstance(value, pgstore.MessageStore):
                    value.close()
    print(f"\n{GO_ON}", end="")


def parts(story: str) -> Iterator[str | Statement]:
    """Split the story into lines of prose and statements."""
    statement: Statement | None = None
    for line in story.splitlines():
        prompt = next((prompt for prompt in _PROMPTS if line.startswith(prompt)), None)
        if statement is not None:
            if line.startswith(_PROMPTS[statement.prompt]):
                statement.lines.append(line)
                continue
            if line and prompt is None:
                statement.expected.append(line)
                continue
            yield statement
            statement = None
        if prompt is None:
            yield line
        else:
            statement = Statement(prompt, [line], [])
    if statement is not None:
        yield statement


def tell(statement: Statement, namespace: dict[str, object], conn: psycopg.Connection) -> None:
    """Print the statement, run it, print what came back, and compare that with the story."""
    print("\n".join(statement.lines))
    if statement.prompt == "demo=> ":
        returned = run_sql(statement.code, conn)
    else:
        returned = run_python(statement.code, namespace)
    lines = [fitted(line.rstrip()) for line in returned.splitlines()]
    for line in lines:
        print(line)
    expected = "\n".join(statement.expected)
    pattern = ".*".join(re.escape(piece) for piece in expected.split("…"))
    if re.fullmatch(pattern, "\n".join(lines)) is None:
        raise UnexpectedResultError(f"expected was\n{expected or 'nothing'}")


def run_python(code: str, namespace: dict[str, object]) -> str:
    """Run code as the interactive interpreter does: return what it prints, and its value."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            # Compiled first: a Ctrl-C in a text that is run sets Python's exit code.
            if is_expression(code):
                value = eval(compile(code, "<demo>", "eval"), namespace)
                if value is not None:
                    print(shown(value))
            else:
                exec(compile(code, "<demo>", "exec"), namespace)
        except Exception as error:
            print(f"{type(error).__name__}: {error}")
    return printed.getvalue()


def run_sql(code: str, conn: psycopg.Connection) -> str:
    """Run a statement, and return what psql prints: for an error, with its SQLSTATE."""
    try:
        with conn.cursor() as cursor:
            cursor.execute(code.encode())
            return table(cursor) if cursor.description else cursor.statusmessage or ""
    except psycopg.Error as error:
        return (
            f"ERROR:  {error.sqlstate}: {error.diag.message_primary}\n"
            f"DETAIL:  {error.diag.message_detail}"
        )


def is_expression(code: str) -> bool:
    try:
        compile(code, "<demo>", "eval")
    except SyntaxError:
        return False
    return True


def shown(value: object) -> str:
    """Return the value's repr; that of a Struct too long for a line has a line for each field."""
    text = repr(value)
    if len(text) <= WIDTH or not isinstance(value, msgspec.Struct):
        return text
    lines = [
        f"    {field.name}={getattr(value, field.name)!r},"
        for field in msgspec.structs.fields(value)
        if getattr(value, field.name) is not None
    ]
    return "\n".join([f"{type(value).__name__}(", *lines, ")"])


def table(cursor: psycopg.Cursor) -> str:
    """Return a result as psql prints it."""
    result = cursor.pgresult
    columns = cursor.description
    if result is None or columns is None:
        raise psycopg.ProgrammingError("the statement has no result")
    rows = [
        [(result.get_value(row, column) or b"").decode() for column in range(result.nfields)]
        for row in range(result.ntuples)
    ]
    names = [column.name for column in columns]
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    right = [column.type_code in _NUMBERS for column in columns]
    lines = [
        " | ".join(name.center(width) for name, width in zip(names, widths, strict=True)),
        "-+-".join("-" * width for width in widths),
    ]
    for row in rows:
        cells = zip(row, widths, right, strict=True)
        lines.append(
            " | ".join(
                text.rjust(wide) if at_right else text.ljust(wide) for text, wide, at_right in cells
            )
        )
    framed = [f"-{line}-" if number == 1 else f" {line}" for number, line in enumerate(lines)]
    return "\n".join([*framed, f"({len(rows)} row{'s' * (len(rows) != 1)})"])


def fitted(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."


def bold(text: str) -> str:
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"\033[1m{text}\033[0m"
