"""A password given in a connection string, well-formed or not, is in nothing that anybody sees."""

import asyncio
import contextlib
import io
import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore import AsyncMessageStore, InvalidArgumentError, MessageStore, RawMessage, transfer
from pgstore.__main__ import main
from pgstore.embedded import Server

SECRET = "hunter2MARK"

MALFORMED = [
    f"postgresql+psycopg://ada:{SECRET}@127.0.0.1/db?sslmod=require",
    f"postgresql+psycopg://ada:{SECRET}@127.0.0.1:port/db",
    f"postgresql+psycopg://ada:{SECRET}\udcff@127.0.0.1/db",
    f"postgresql+psycopg://ada:{SECRET}%00@127.0.0.1/db",
    f"postgresql+psycopg://ada:{SECRET}@a@127.0.0.1/db",
    f"postgresql+psycopg2://ada:{SECRET}@127.0.0.1/db?sslmode=disable",
    f"postgres+asyncpg://ada:{SECRET}@127.0.0.1/db",
    f"Postgresql://ada:{SECRET}@127.0.0.1/db",
    f"postgresql:/ada:{SECRET}@127.0.0.1/db",
    f"jdbc:postgresql://127.0.0.1/db?user=ada&password={SECRET}",
    f"ada:{SECRET}@127.0.0.1/db",
    f"postgresql://ada:a@{SECRET}@127.0.0.1/db",
    f"postgresql://ada:{SECRET}@b@127.0.0.1/db",
    f"postgresql://ada@server:{SECRET}@127.0.0.1/db",
    f"postgresql://ada:a/{SECRET}@127.0.0.1/db",
    f"postgresql://ada:1/{SECRET}@127.0.0.1/db",
    f"postgresql://ada:{SECRET}/b@127.0.0.1/db",
    f"postgresql://ada:%zz{SECRET}@127.0.0.1/db",
    f"postgresql://ada:{SECRET}%@127.0.0.1/db",
    f"postgresql://ada:{SECRET}@[::1/db",
    f"postgresql://ada:{SECRET}@127.0.0.1:port/db",
    f"postgresql://ada:{SECRET}@127.0.0.1/db?sslmod=require",
    f"postgresql://ada:{SECRET}@127.0.0.1/db?password",
    f"postgresql://ada:{SECRET}@127.0.0.1/db\0",
    f"postgresql://ada:{SECRET}\udcff@127.0.0.1/db",
    f"host=127.0.0.1 password=a {SECRET}",
    f"host=127.0.0.1 password=a {SECRET}=b",
    f"host=127.0.0.1 password='a'{SECRET}",
    f"host=127.0.0.1 password='{SECRET}",
    f"host=127.0.0.1 password={SECRET} sslmod=require",
    f"host=127.0.0.1 pasword={SECRET}",
    f"host=ada:{SECRET}@127.0.0.1",
    f"host=127.0.0.1 dbname=postgresql://ada:{SECRET}@127.0.0.1/db",
    f"password={SECRET}\0 host=127.0.0.1",
    f"password={SECRET}\udcff host=127.0.0.1",
]
# Nobody listens at this port. It is right about where, and about the password for all we know.
WELL_FORMED = [
    f"postgresql://ada:1?{SECRET}@127.0.0.1:1/db",
    f"postgresql://ada:{SECRET}@127.0.0.1:1?user=ada@example.org",
    f"postgresql://ada:{SECRET}@127.0.0.1:1/db",
    f"postgresql://ada:{SECRET}@127.0.0.1:1,127.0.0.1:2/db?connect_timeout=2",
    f"host=127.0.0.1 port=1 user=ada password='{SECRET} b'",
    f"postgresql://ada:x@127.0.0.1:1/db?password={SECRET}",
    f"postgresql://ada:x@127.0.0.1:1/db?sslpassword={SECRET}",
]


def everything_of(error: BaseException | None) -> Iterator[str]:
    """All texts of an error, and of those behind it."""
    while error is not None:
        yield from (str(error), repr(error), repr(error.args), *traceback.format_exception(error))
        yield repr(getattr(error, "__notes__", []))
        yield from everything_of(error.__cause__)
        error = error.__context__


def use_sync(conninfo: str) -> None:
    with MessageStore(conninfo, messages=RawMessage) as store:
        store.stream_version("account-1")


def use_async(conninfo: str) -> None:
    async def use() -> None:
        async with AsyncMessageStore(conninfo, messages=RawMessage) as store:
            await store.stream_version("account-1")

    asyncio.run(use())


def subscribe(conninfo: str) -> None:
    with MessageStore(conninfo, messages=RawMessage) as store:
        subscription = store.raw.subscription("balances")
        subscription.handler(never)
        store.raw.run_once(subscription)


def never(message: RawMessage) -> None:
    raise AssertionError


def bring_from_message_db(conninfo: str) -> None:
    with transfer.MessageDbSource(conninfo).read(1):
        pass


def bring_from_depeche(conninfo: str) -> None:
    with transfer.DepecheSource(conninfo, "bank").read(1):
        pass


ENTRIES: list[Callable[[str], object]] = [
    pgstore.install,
    use_sync,
    use_async,
    subscribe,
    bring_from_message_db,
    bring_from_depeche,
]


@pytest.mark.parametrize("use", ENTRIES)
def test_no_error_and_no_log_tells_the_password(
    use: Callable[[str], object],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    for conninfo in MALFORMED + WELL_FORMED:
        with pytest.raises(Exception) as raised:  # noqa: PT011
            use(conninfo)
        assert isinstance(raised.value, InvalidArgumentError) == (conninfo in MALFORMED)
        assert SECRET not in "".join(everything_of(raised.value)), conninfo
    out, err = capfd.readouterr()
    assert SECRET not in caplog.text + out + err


def test_the_embedded_server_refuses_to_start_with_what_it_could_not_read() -> None:
    for conninfo in MALFORMED:
        with pytest.raises(InvalidArgumentError) as raised:
            Server(settings={"primary_conninfo": conninfo})
        assert SECRET not in "".join(everything_of(raised.value))


@pytest.mark.parametrize(
    "conninfo",
    [
        "",
        "postgresql://",
        "postgresql://ada:p%40ss@127.0.0.1,127.0.0.2:5433/d%40b?user=ada@example.org",
        "postgresql://%2Frun%2Fpostgresql/db",
        "postgres://[::1]:5432/db",
        "host=@abstract,/run/postgresql port=5432, password='a@b/c d'",
        "dbname=a@b",
    ],
)
def test_connection_strings_that_libpq_reads_as_they_are_meant_are_taken(conninfo: str) -> None:
    MessageStore(conninfo, messages=RawMessage)


def test_a_store_at_work_does_not_tell_its_password(
    conninfo: str, schema: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("PGPASSWORD", SECRET)
    with MessageStore(
        make_conninfo(conninfo, password=f"{SECRET} b"), store=schema, messages=RawMessage
    ) as store:
        store.raw.write("account-1", RawMessage("Opened", b"{}"))
        pool = store._database.source._pool
        assert pool is not None
        shown = [repr(each) for each in (store, store.raw, pool, store._database, store._waker)]
        with pool.connection() as conn:
            shown.append(repr(conn))
    assert SECRET not in caplog.text + "".join(shown)


COMMANDS = [
    ["install"],
    ["status"],
    ["doctor"],
    ["doctor", "--json"],
    ["read", "account-1"],
    ["write", "account-1", "Opened"],
    ["tail", "--debug"],
    ["top", "--times", "1"],
    ["subscriptions"],
    ["parked", "show", "balances", "1"],
    ["verify", "--debug"],
]


@pytest.mark.parametrize("where", ["--conninfo", "PGSTORE_CONNINFO"])
def test_no_command_tells_the_password(
    where: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for number, conninfo in enumerate(MALFORMED + WELL_FORMED):
        command = COMMANDS[number % len(COMMANDS)]
        if where == "--conninfo":
            code = main([*command, "--conninfo", conninfo])
        elif "\0" in conninfo:
            continue  # nor can the environment hold it
        else:
            monkeypatch.setenv("PGSTORE_CONNINFO", conninfo)
            code = main(command)
        out, err = capfd.readouterr()
        assert code == (2 if conninfo in MALFORMED else 5), (command, conninfo, err)
        assert SECRET not in out + err + caplog.text, (command, conninfo)


def test_a_connection_string_in_the_wrong_place_is_not_told_either(
    conninfo: str, schema: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PGSTORE_CONNINFO", conninfo)
    monkeypatch.setenv("PGSTORE_STORE", schema)
    given = [
        *(each for each in MALFORMED if "://" in each and "\0" not in each and "@" in each),
        *(each for each in MALFORMED if each.startswith("host=127.0.0.1 password")),
        *WELL_FORMED,
    ]
    assert len(given) > 20
    for number, conninfo in enumerate(given):
        commands = [
            [conninfo],
            ["install", conninfo],
            ["import", conninfo],
            ["import", "--from", conninfo, "file"],
            ["export", conninfo],
            ["read", conninfo],
            ["read", "account-1", "--from-version", conninfo],
            ["rewind", "balances", conninfo],
            ["message", conninfo],
            ["run", conninfo],
        ]
        # Each string in three places, and in each place strings of all kinds.
        for place in (number, number + 3, number + 7):
            refused_without(SECRET, commands[place % len(commands)])


def refused_without(secret: str, command: list[str]) -> None:
    """Run a command and look at what it prints."""
    printed = io.StringIO()
    with (
        contextlib.redirect_stderr(printed),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),  # argparse's
    ):
        main(command)
    # A frame that rich draws may break the line in the middle of a word.
    assert secret not in "".join(printed.getvalue().replace("│", "").split()), command


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    before=st.text(st.characters(codec=None), max_size=6),
    after=st.text(st.sampled_from("@/%?#:;,= '\"\\\0\n[]&+a1é"), max_size=6),
    form=st.sampled_from(
        [
            "postgresql://ada:{}@127.0.0.1:1/db",
            "postgres+asyncpg://ada:{}@127.0.0.1:1/db",
            "postgresql://127.0.0.1:1/db?user=ada&password={}",
            "host=127.0.0.1 port=1 user=ada password={}",
            "host=127.0.0.1 port=1 password='{}' user=ada",
        ]
    ),
)
@example(before="", after="%a1", form="postgresql://ada:{}@127.0.0.1:1/db")
def test_no_character_of_a_password_brings_it_to_light(before: str, after: str, form: str) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011
        pgstore.install(form.format(f"{before}{SECRET}{after}"))
    assert SECRET not in "".join(everything_of(raised.value))
