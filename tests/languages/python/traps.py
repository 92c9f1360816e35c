"""What goes wrong with the other drivers of Python, and what helps."""

import asyncio
import json
from datetime import timedelta

import asyncpg
import psycopg2
import sqlalchemy
from sqlalchemy import text


def tell(trap, answer):
    print(json.dumps({"trap": trap, "answer": answer}))


def psycopg2_traps():
    """A list of texts becomes an ARRAY of texts, and there is no function of that."""
    conn = psycopg2.connect("")
    conn.autocommit = True
    for name, data in ("%s as jsonb[]", "%s"), ("%s::jsonb[]", "%s::jsonb[]"):
        try:
            conn.cursor().execute(
                f"SELECT * FROM bank.write_arrays(%s, %s, {data})",
                ["a-1", ["A", "B"], ['{"n": 1}', "[2]"]],
            )
        except psycopg2.Error as error:
            tell(f"psycopg2: {name}", error.pgcode)
        else:
            tell(f"psycopg2: {name}", "works")
    conn.close()


def sqlalchemy_traps():
    """text() takes `:data` before `::` for no parameter."""
    engine = sqlalchemy.create_engine("postgresql+psycopg2://")
    for data in ":data::jsonb", "CAST(:data AS jsonb)":
        statement = text(f"SELECT * FROM bank.write_message('a-1', 'A', {data})")
        try:
            with engine.begin() as conn:
                conn.execute(statement, {"data": '{"n": 1}'})
        except sqlalchemy.exc.DBAPIError as error:
            tell(f"SQLAlchemy: {data}", error.orig.pgcode)
        except sqlalchemy.exc.ArgumentError as error:
            tell(f"SQLAlchemy: {data}", type(error).__name__)
        else:
            tell(f"SQLAlchemy: {data}", "works")
    engine.dispose()


async def asyncpg_traps():
    """An interval is a timedelta, never a text; seconds are a number."""
    conn = await asyncpg.connect()
    claim = "SELECT * FROM bank.claim_batch($1, $2, $3)"
    as_json = "SELECT bank.claim_batch_json($1, $2, $3)"
    for name, statement, lease in (
        ("a text as interval", claim, "30 seconds"),
        ("a timedelta as interval", claim, timedelta(seconds=30)),
        ("claim_batch_json, in seconds", as_json, 30),
    ):
        try:
            await conn.fetch(statement, [], "worker-1", lease)
        except asyncpg.DataError as error:
            tell(f"asyncpg: {name}", type(error).__name__)
        else:
            tell(f"asyncpg: {name}", "works")
    await conn.close()


psycopg2_traps()
sqlalchemy_traps()
asyncio.run(asyncpg_traps())
