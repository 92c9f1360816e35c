"""Every kind of role attempts everything, after each way in which a store comes to be."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore import embedded, transfer
from tests.attempts import GROUPS, KINDS, OUTCOMES, WAYS, allowed, granted, groups, statements
from tests.migrations.conftest import MakeDatabase
from tests.migrations.installers import PG_DUMP, PSQL, environment
from tests.migrations.test_released import VERSIONS
from tests.released import install_released
from tests.sql.store import Connection, Store

NAME = "bank"
FORMATS = ("plain", "custom", "directory", "tar")
PG_RESTORE = embedded.Server().bin / "pg_restore"

# What each role is granted.
GRANTS = {
    "administrator": "admin",
    "writer": "write",
    "writer of a category": "write",
    "reader": "read",
    "consumer": "consume",
    "monitor": "monitor",
}

Roles = dict[str, str]
NewDatabase = Callable[[], str]


@pytest.fixture(scope="module")
def roles(server_conninfo: str) -> Iterator[Roles]:
    """A role of the server for each kind, by its kind."""
    prefix = f"role_{uuid4().hex[:8]}"
    names = {kind: f"{prefix}_{n}" for n, kind in enumerate(OUTCOMES)}
    with psycopg.connect(server_conninfo, autocommit=True) as conn:
        for name in names.values():
            conn.execute(f"CREATE ROLE {name} LOGIN".encode())
        yield names
        for name in names.values():
            conn.execute(f"DROP ROLE {name}".encode())


@pytest.fixture
def database(make_database: MakeDatabase, roles: Roles) -> NewDatabase:
    """Make a database in which the owner may create a schema."""

    def make() -> str:
        conninfo = make_database()
        with psycopg.connect(conninfo, autocommit=True) as conn:
            database = conn.info.dbname
            conn.execute(f'GRANT CREATE ON DATABASE "{database}" TO {roles["owner"]}'.encode())
        return conninfo

    return make


def install(conninfo: str, roles: Roles) -> None:
    pgstore.install(make_conninfo(conninfo, user=roles["owner"]), store=NAME)


def grant(conninfo: str, roles: Roles) -> None:
    with psycopg.connect(make_conninfo(conninfo, user=roles["owner"]), autocommit=True) as conn:
        store = Store(conn, NAME)
        for group, kind in GRANTS.items():
            more = [["mine"]] if group == "writer of a category" else []
            store.call("grant_access", roles[group], kind, *more)


def made(conninfo: str, roles: Roles) -> str:
    """A store with a message, and all roles with their rights."""
    install(conninfo, roles)
    grant(conninfo, roles)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        Store(conn, NAME).write("mine-1")
    return conninfo


def restore(source: str, target: str, way: str, folder: Path, *options: str) -> str:
    """Dump and restore in a format; the errors of the restore."""
    file = str(folder / way)
    # Plain text is what it is: there, the dump leaves rights out.
    dump_options = options if way == "plain" else ()
    run([str(PG_DUMP), "-d", source, f"--format={way}", f"--file={file}", *dump_options])
    if way == "plain":
        return run([str(PSQL), "-X", "-q", "-d", target, "-f", file], check=False)
    return run([str(PG_RESTORE), "-d", target, *options, file], check=False)


def run(command: list[str], *, check: bool = True) -> str:
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=check)
    # Older servers do not know a setting of the newest pg_dump.
    lines = [line for line in done.stderr.splitlines() if "ERROR" in line]
    return "\n".join(line for line in lines if "transaction_timeout" not in line)


def check(conninfo: str, roles: Roles) -> None:
    """Compare what each role can do with what it may do; the owner last, who can break things."""
    with ExitStack() as opened:

        def connect(kind: str) -> Connection:
            params = make_conninfo(conninfo, user=roles[kind])
            return opened.enter_context(psycopg.connect(params, autocommit=True))

        store = Store(opened.enter_context(psycopg.connect(conninfo, autocommit=True)), NAME)
        wrong = [each for each in transfer.verify(store.conn, store=NAME) if each.wrong]
        # The role that may use the schema is given that by hand, for the attempts.
        assert wrong == []
        public = roles["PUBLIC (a role that may use the schema)"]
        store.query(f"GRANT USAGE ON SCHEMA STORE TO {public}")
        tried = statements(store)
        by_group, by_kind = groups(store, tried), granted(store)
        assert {name for names in by_group.values() for name in names} | {
            name for kind in KINDS for name in by_kind[kind]
        } == {*tried}
        for kind in [*OUTCOMES][::-1]:
            found = allowed(store, connect(kind), tried)
            if kind == "writer of a category":
                writing = {
                    "write_message",
                    "write_messages",
                    "write_arrays",
                    "synchronize_stream",
                    "schedule_message",
                }
                assert found == by_kind["write"] - writing
                mine = {
                    name: [text.replace("'x'", "'mine-1'", 1) for text in tried[name]]
                    for name in writing
                }
                found |= allowed(store, connect(kind), mine)
            whole = {group for group in GROUPS if by_group[group] <= found}
            assert (kind, frozenset(whole)) == (kind, OUTCOMES[kind])
            if kind != "owner":
                names = {name for each in KINDS if each in whole for name in by_kind[each]}
                assert (kind, found) == (kind, names)


def by_install(new: NewDatabase, roles: Roles, folder: Path) -> Iterator[str]:
    yield made(new(), roles)


def by_upgrade(new: NewDatabase, roles: Roles, folder: Path) -> Iterator[str]:
    for version in VERSIONS:
        conninfo = new()
        install_released(make_conninfo(conninfo, user=roles["owner"]), NAME, version)
        yield made(conninfo, roles)


def by_dump(new: NewDatabase, roles: Roles, folder: Path) -> Iterator[str]:
    source = made(new(), roles)
    for way in FORMATS:
        target = new()
        assert restore(source, target, way, folder) == ""
        yield target


def without_rights(new: NewDatabase, roles: Roles, folder: Path) -> Iterator[str]:
    source = made(new(), roles)
    for way in FORMATS:
        target = new()
        assert restore(source, target, way, folder, "--no-acl") == ""
        assert is_open(target)
        install(target, roles)
        assert not is_open(target)
        grant(target, roles)
        yield target


def without_installation(new: NewDatabase, roles: Roles, folder: Path) -> Iterator[str]:
    source, target = made(new(), roles), new()
    assert restore(source, target, "custom", folder, "--no-acl") == ""
    grant(target, roles)
    yield target


def without_a_role(new: NewDatabase, roles: Roles, folder: Path) -> Iterator[str]:
    source, target, missing = made(new(), roles), new(), f"{roles['owner']}_missing"
    with psycopg.connect(source, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {missing}".encode())
        Store(conn, NAME).call("grant_access", missing, "admin")
        run([str(PG_DUMP), "-d", source, "--format=custom", f"--file={folder / 'dump'}"])
        conn.execute(f"DROP OWNED BY {missing}; DROP ROLE {missing}".encode())
    errors = run([str(PG_RESTORE), "-d", target, str(folder / "dump")], check=False)
    assert missing in errors
    # With the right of the role that is missing, all rights on a function are left out.
    assert is_open(target)
    install(target, roles)
    grant(target, roles)
    yield target


def is_open(conninfo: str) -> bool:
    with psycopg.connect(conninfo) as conn:
        query = "SELECT has_function_privilege('public', %s, 'EXECUTE')"
        ((found,),) = conn.execute(query, [f"{NAME}.delete_stream(text, bigint, text)"])
    return bool(found)


HOW = {
    "install": by_install,
    "upgrade": by_upgrade,
    "dump": by_dump,
    "no-acl": without_rights,
    "grant": without_installation,
    "missing role": without_a_role,
}


@pytest.mark.parametrize("way", WAYS)
def test_roles_may_do_what_was_granted_and_nothing_else(
    database: NewDatabase, roles: Roles, tmp_path: Path, way: str
) -> None:
    for conninfo in HOW[way](database, roles, tmp_path):
        check(conninfo, roles)


@pytest.mark.parametrize("schema_of", ["writer", None])
def test_store_restored_without_owners_belongs_to_the_role_that_restores(
    database: NewDatabase, roles: Roles, tmp_path: Path, schema_of: str | None
) -> None:
    """Unless the schema was there, and is another role's: then an installation is refused."""
    source, target, restorer = made(database(), roles), database(), roles["reader"]
    with psycopg.connect(target, autocommit=True) as conn:
        conn.execute(f'GRANT CREATE ON DATABASE "{conn.info.dbname}" TO {restorer}'.encode())
        if schema_of:
            conn.execute(f"CREATE SCHEMA {NAME} AUTHORIZATION {roles[schema_of]}".encode())
            conn.execute(f"GRANT USAGE, CREATE ON SCHEMA {NAME} TO {restorer}".encode())
    own = make_conninfo(target, user=restorer)
    errors = restore(source, own, "custom", tmp_path, "--no-acl", "--no-owner")
    assert ("already exists" in errors) == bool(schema_of)
    if schema_of:
        for user in (restorer, roles[schema_of]):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                pgstore.install(make_conninfo(target, user=user), store=NAME)
        with psycopg.connect(target) as conn:
            conn.execute(f"ALTER SCHEMA {NAME} OWNER TO {restorer}".encode())
    pgstore.install(own, store=NAME)
    with psycopg.connect(own, autocommit=True) as conn:
        store = Store(conn, NAME)
        store.call("grant_access", roles["monitor"], "monitor")
        assert [check for check in transfer.verify(conn, store=NAME) if check.wrong] == []
        assert store.write("mine-1") == (2, 2)
    # The old owner is a role like any other.
    with psycopg.connect(make_conninfo(target, user=roles["owner"])) as conn:
        assert (
            allowed(store, conn, {"write_message": ["SELECT STORE.write_message('x', 'A', '1')"]})
            == set()
        )
