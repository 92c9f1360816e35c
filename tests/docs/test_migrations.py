"""The page “Migrations with Alembic and Django”, followed to the letter; older stores, too."""

import re
from collections.abc import Iterator

import psycopg
import pytest

from pgstore._core import sql_files
from tests.docs.following import Followed, following
from tests.docs.test_examples import GUIDES, blocks_of
from tests.released import FOLDER

NEWEST = sql_files.migrations()[-1].number
# The newest of those that upgrades start from, and its schema version.
OLDER = max(FOLDER.glob("*.sql"), key=lambda path: int(path.stem)).read_text()
OLDER_VERSION = max(map(int, re.findall(r"(?m)^-- migrations/(\d+)_", OLDER)))
OLDER_SCRIPT = f"""\
SELECT set_config('pgstore.schema', 'shop', true);
{OLDER}
SELECT set_config('search_path', 'public', true);
"""
OF_DJANGO = [
    "curl",
    "python manage.py runserver",
    "python manage.py run_",
    "python manage.py shell",
]


@pytest.fixture
def guide(conninfo: str) -> Iterator[Followed]:
    with following(GUIDES / "migrations.md", conninfo) as guide:
        yield guide


def version(guide: Followed) -> int:
    with psycopg.connect(guide.environment["PGSTORE_CONNINFO"]) as conn:
        ((found,),) = conn.execute("SELECT shop.schema_version()").fetchall()
    return int(found)


def test_alembic_installs_as_the_page_says(guide: Followed) -> None:
    guide.follow(until="## Django")
    assert version(guide) == NEWEST
    with psycopg.connect(guide.environment["PGSTORE_CONNINFO"]) as conn:
        assert conn.execute("SELECT * FROM public.alembic_version").fetchall() == [("0002",)]
    assert guide.done("alembic downgrade base").returncode == 0
    # The store is still there, and the tool can be told so.
    assert "and it is at version" in guide.done("alembic upgrade head").stderr
    assert guide.done("alembic stamp head").returncode == 0
    assert guide.done("alembic upgrade head").returncode == 0


def test_alembic_prints_what_it_would_run(guide: Followed) -> None:
    guide.follow(until="## Django", leave_out=["alembic upgrade", "pgstore upgrade"])
    printed = guide.done("alembic upgrade head --sql")
    assert printed.returncode == 0, printed.stderr
    with psycopg.connect(guide.environment["PGSTORE_CONNINFO"], autocommit=True) as conn:
        conn.execute(printed.stdout.encode())
    assert version(guide) == NEWEST
    guide.run_all("pgstore upgrade --check")
    assert "0002 (head)" in guide.done("alembic current").stdout


AUTOGENERATE = """\
import sqlalchemy

tables = sqlalchemy.MetaData()
sqlalchemy.Table("orders", tables, sqlalchemy.Column("number", sqlalchemy.Integer))


INCLUDE_NAME
"""


@pytest.mark.parametrize("options", ["", "include_schemas=True, include_name=include_name"])
def test_alembic_does_not_want_to_drop_the_store(guide: Followed, options: str) -> None:
    guide.follow(until="## Django")
    (advice,) = [
        block.code for block in blocks_of(GUIDES / "migrations.md") if "include_name=" in block.code
    ]
    env = (guide.folder / "migrations" / "env.py").read_text()
    start = "context.configure(connection=connection, "
    assert start in env
    guide.write(
        "migrations/env.py",
        AUTOGENERATE.replace("INCLUDE_NAME", advice)
        + env.replace(start, f"{start}target_metadata=tables, {options}{', ' if options else ''}"),
    )
    found = guide.done("alembic check").stdout
    assert "add_table" in found
    assert "remove_table" not in found


def test_alembic_upgrades_an_older_store(guide: Followed) -> None:
    guide.follow(until="## Django", leave_out=["alembic upgrade", "pgstore upgrade"])
    guide.write("migrations/shop_13.sql", OLDER_SCRIPT)
    assert guide.done("alembic upgrade 0001").returncode == 0
    assert version(guide) == OLDER_VERSION
    refused = guide.done("alembic upgrade head")  # made for version 13
    assert "this script is for store" in refused.stderr
    assert len(refused.stderr) < 20_000  # and not all of the script
    script = guide.done(f"pgstore sql --store shop --no-transaction --from {OLDER_VERSION}").stdout
    guide.write("migrations/shop_14.sql", script)
    assert guide.done("alembic upgrade head").returncode == 0
    assert version(guide) == NEWEST


@pytest.mark.parametrize("older", [False, True])
def test_django_upgrades_a_store(guide: Followed, older: bool) -> None:
    django = guide.with_page(GUIDES / "django.md")
    django.follow(leave_out=[*OF_DJANGO, "python manage.py migrate", "python manage.py test"])
    if older:
        guide.write("orders/migrations/store_13.sql", OLDER_SCRIPT)
    django.run_all("python manage.py migrate")
    assert version(guide) == (OLDER_VERSION if older else NEWEST)
    guide.follow(since="## Django", leave_out=["python manage.py migrate"])
    if older:
        made = guide.done(f"pgstore sql --store shop --no-transaction --from {OLDER_VERSION}")
        guide.write("orders/migrations/store_14.sql", made.stdout)
    guide.run_all("python manage.py migrate")
    assert version(guide) == NEWEST
    django.run_all("python manage.py test")
