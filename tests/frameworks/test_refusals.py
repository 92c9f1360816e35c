"""What cannot work as `conn=`, and the sentence that says what to do instead."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from textwrap import dedent
from typing import Any

import asyncpg
import msgspec
import psycopg2
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Engine, Integer, create_engine, orm
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from pgstore import AsyncMessageStore, InvalidArgumentError, MessageStore
from tests.frameworks.engines import async_engine_of, engine_of, url_of
from tests.frameworks.messages import Paid


@pytest.fixture
def store(conninfo: str, shared: str) -> Iterator[MessageStore[Paid]]:
    with MessageStore[Paid](conninfo, store=shared, messages=Paid) as store:
        yield store


def refusal(store: MessageStore[Paid], stream: str, conn: Any) -> str:
    with pytest.raises(InvalidArgumentError) as refused:
        store.write(stream, Paid(1), conn=conn)
    return str(refused.value)


async def async_refusal(store: AsyncMessageStore[Paid], stream: str, conn: Any) -> str:
    with pytest.raises(InvalidArgumentError) as refused:
        await store.write(stream, Paid(1), conn=conn)
    return str(refused.value)


@pytest.mark.parametrize("driver", ["psycopg2", "pg8000"])
def test_sqlalchemy_on_another_driver_is_refused_by_its_name(
    store: MessageStore[Paid], conninfo: str, stream: str, driver: str
) -> None:
    engine = create_engine(url_of(conninfo, driver).set(query={}))
    said = refusal(store, stream, Session(engine))
    assert f"uses the driver {driver}" in said
    assert 'create_engine("postgresql+psycopg://' in said


async def test_sqlalchemy_on_asyncpg_is_refused_by_its_name(
    conninfo: str, shared: str, stream: str
) -> None:
    engine = create_async_engine(url_of(conninfo, "asyncpg").set(query={}))
    async with AsyncMessageStore[Paid](conninfo, store=shared, messages=Paid) as store:
        said = await async_refusal(store, stream, AsyncSession(engine))
        assert "uses the driver asyncpg" in said
        assert 'create_async_engine("postgresql+psycopg://' in said


def test_sqlalchemy_on_another_database_is_refused_by_its_name(
    store: MessageStore[Paid], stream: str
) -> None:
    with create_engine("sqlite://").connect() as conn:
        assert "leads to sqlite" in refusal(store, stream, conn)


def test_a_refusal_begins_no_transaction(
    store: MessageStore[Paid], conninfo: str, stream: str
) -> None:
    with create_engine("sqlite://").connect() as conn:
        refusal(store, stream, conn)
        assert not conn.in_transaction()


def test_other_drivers_connections_are_refused_by_their_names(
    store: MessageStore[Paid], conninfo: str, stream: str
) -> None:
    found = conninfo_to_dict(conninfo)
    conn = psycopg2.connect(conninfo)
    assert "runs on psycopg 3, not on psycopg2" in refusal(store, stream, conn)
    conn.close()

    async def main() -> str:
        options = {"host": found["host"], "port": found["port"], "user": found["user"]}
        other = await asyncpg.connect(**options, database=found["dbname"])
        try:
            return refusal(store, stream, other)
        finally:
            await other.close()

    assert "runs on psycopg 3, not on asyncpg" in asyncio.run(main())


async def test_the_other_color_is_refused_with_the_store_that_takes_it(
    conninfo: str, shared: str, stream: str
) -> None:
    engine, async_engine = engine_of(conninfo), async_engine_of(conninfo)
    async with AsyncMessageStore[Paid](conninfo, store=shared, messages=Paid) as store:
        with Session(engine) as session:
            assert "that is for a MessageStore" in await async_refusal(store, stream, session)
    with MessageStore[Paid](conninfo, store=shared, messages=Paid) as sync_store:
        async with AsyncSession(async_engine) as other:
            said = refusal(sync_store, stream, other)
            assert "that is for an AsyncMessageStore" in said
            said = await other.run_sync(lambda inner: refusal(sync_store, stream, inner))
            assert "pass the AsyncSession or AsyncConnection" in said
    with pytest.raises(InvalidArgumentError, match="pass the AsyncEngine"):
        MessageStore[Paid](async_engine.sync_engine, store=shared, messages=Paid)
    engine.dispose()
    await async_engine.dispose()


def test_makers_of_sessions_and_connections_are_refused(
    store: MessageStore[Paid], conninfo: str, stream: str
) -> None:
    engine: Engine = engine_of(conninfo)
    assert "call it" in refusal(store, stream, sessionmaker(engine))
    assert "call it" in refusal(store, stream, async_sessionmaker(async_engine_of(conninfo)))
    assert "engine.begin()" in refusal(store, stream, engine)
    with engine.connect() as conn:
        assert "pass the Connection or Session" in refusal(store, stream, conn.connection)
        raw = conn.connection.driver_connection
        assert raw is not None
    engine.dispose()
    assert "Django's settings" in refusal(store, stream, "no such alias")


def test_a_session_whose_engine_is_not_known_says_what_to_pass(
    store: MessageStore[Paid], conninfo: str, stream: str
) -> None:
    engine = engine_of(conninfo)
    registry = orm.registry()

    @registry.mapped
    class Order:
        __tablename__ = "orders"
        id = orm.mapped_column(Integer, primary_key=True)

    with Session(binds={Order: engine}) as session:
        assert "session.connection(bind_arguments=" in refusal(store, stream, session)
        conn = session.connection(bind_arguments={"mapper": Order})
        store.write(stream, Paid(1), conn=conn)
        assert store.stream_version(stream) == 0
        session.commit()
    engine.dispose()
    assert store.stream_version(stream) == 1


DJANGO_ON_PSYCOPG2 = """
    import sys
    import msgspec
    import psycopg
    import pgstore

    class Paid(msgspec.Struct):
        amount: int

    place, name = msgspec.json.decode(sys.argv[1]), sys.argv[2]
    hidden = {each: sys.modules.pop(each) for each in list(sys.modules) if each == "psycopg"}
    sys.modules["psycopg"] = None
    from django.conf import settings
    settings.configure(DATABASES={"default": place})
    import django
    django.setup()
    from django.db import connection
    connection.vendor
    sys.modules.update(hidden)
    with pgstore.MessageStore(sys.argv[3], store=name, messages=Paid) as store:
        try:
            store.write("a-1", Paid(1), conn=connection)
        except pgstore.InvalidArgumentError as error:
            print(error)
"""


def test_django_on_psycopg2_is_refused_by_its_name(conninfo: str, shared: str) -> None:
    found = conninfo_to_dict(conninfo)
    place = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": found["dbname"],
        "USER": found["user"],
        "HOST": found["host"],
        "PORT": str(found["port"]),
    }
    arguments = [msgspec.json.encode(place).decode(), shared, conninfo]
    done = subprocess.run(
        [sys.executable, "-c", dedent(DJANGO_ON_PSYCOPG2), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "'default' uses the driver psycopg2: a store runs on psycopg 3" in done.stdout


def test_the_frameworks_are_not_imported() -> None:
    names = "sqlalchemy, django, sqlmodel, fastapi, flask, pydantic, starlette"
    program = f"""
        import sys
        import pgstore
        pgstore.MessageStore, pgstore.AsyncMessageStore
        print([name for name in "{names}".split(", ") if name in sys.modules])
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "[]\n"
