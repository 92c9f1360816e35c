"""SQLAlchemy's URLs as connection strings."""

from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL, make_url

from pgstore import AsyncMessageStore, InvalidArgumentError, MessageStore, RawMessage
from pgstore._core.conninfo import checked

URLS = {
    "postgresql+psycopg://ada:secret@db:5433/shop": {
        "user": "ada",
        "password": "secret",
        "host": "db",
        "port": "5433",
        "dbname": "shop",
    },
    "postgresql+psycopg://": {},
    "postgres+psycopg:///shop": {"dbname": "shop"},
    "postgresql+psycopg_async://ada@db": {"user": "ada", "host": "db"},
    "postgresql+psycopg://ada:p%40s%2Fs%25@db/shop": {
        "user": "ada",
        "password": "p@s/s%",
        "host": "db",
        "dbname": "shop",
    },
    "postgresql+psycopg://ada:a b'c\\@db/shop": {
        "user": "ada",
        "password": "a b'c\\",
        "host": "db",
        "dbname": "shop",
    },
    "postgresql+psycopg://ada@[::1]:5433/shop": {
        "user": "ada",
        "host": "::1",
        "port": "5433",
        "dbname": "shop",
    },
    "postgresql+psycopg://ada@/shop?host=/tmp&sslmode=disable&options=-c%20role%3Dapp": {
        "user": "ada",
        "dbname": "shop",
        "host": "/tmp",
        "sslmode": "disable",
        "options": "-c role=app",
    },
    "postgresql+psycopg://ada@/shop?host=a:1&host=b:2": {
        "user": "ada",
        "dbname": "shop",
        "host": "a,b",
        "port": "1,2",
    },
}


@pytest.mark.parametrize("url", URLS)
def test_urls_for_psycopg_become_connection_strings(url: str) -> None:
    expected: dict[str, Any] = URLS[url]
    assert conninfo_to_dict(checked(url)) == expected
    assert conninfo_to_dict(checked(make_url(url))) == expected
    assert conninfo_to_dict(checked(URL.create("postgresql", "ada", "x@y", "db"))) == {
        "user": "ada",
        "password": "x@y",
        "host": "db",
    }


def test_space_around_a_url_is_no_part_of_it() -> None:
    found = checked(" postgresql+psycopg://ada@db/shop\n")
    assert conninfo_to_dict(found) == {"user": "ada", "host": "db", "dbname": "shop"}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "postgresql+psycopg2://ada:secret@db/shop",
            "the driver psycopg2: a store runs on psycopg",
        ),
        ("postgresql+asyncpg://ada:secret@db/shop", "the driver asyncpg: a store runs on psycopg"),
        ("postgresql+psycopg://ada:secret@db/shop?no_option=1", "no option of libpq's"),
        ("postgresql+psycopg://ada:***@db/shop", "hide_password=False"),
    ],
)
def test_other_urls_are_refused_without_being_shown(url: str, said: str) -> None:
    for make in (MessageStore, AsyncMessageStore):
        with pytest.raises(InvalidArgumentError) as refused:
            make(url, messages=RawMessage)
        assert said in str(refused.value)
        assert "secret" not in str(refused.value)


def test_a_url_of_another_database_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="mysql"):
        MessageStore(URL.create("mysql+pymysql", "ada"), messages=RawMessage)
