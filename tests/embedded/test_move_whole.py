"""All of a store moves: pg_dump writes the same of both places, and what differs is noticed."""

import re
import subprocess
from collections.abc import Callable

import psycopg
import pytest

from pgstore.embedded import Server, account
from pgstore.transfer import Move, MoveError
from pgstore.transfer.moving import _comparing
from tests.embedded.moving import STORE, Load, Noted, Places, do, move, rows, store_of, until

# Of each place alone, each for a reason that docs/operations/move.md gives.
LOCAL = (
    # How the source is closed, and by what.
    r"CREATE TRIGGER store_is_closed .*",
    r"TABLE store_fence: .*",
    # When it was installed, and what was published to standbys.
    r"TABLE migrations: .*",
    r"TABLE store_horizon: .*",
    # How often the gates were looked at on this server.
    r"SELECT pg_catalog\.setval\('\S*gate_trust_seq', .*",
)


def dumped(server: Server, conninfo: str) -> set[str]:
    """All that pg_dump writes of a store: its statements, and its rows, each with its table."""
    done = subprocess.run(
        [
            account.reachable_binaries(server.bin, server.folder / "install") / "pg_dump",
            *("-d", conninfo, "--schema", STORE, "--rows-per-insert", "1"),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    text = re.sub(
        r"^(--.*|SET .*|\\(un)?restrict .*|SELECT pg_catalog\.set_config.*)$",
        "",
        done.stdout,
        flags=re.MULTILINE,
    )
    statements = re.split(r";\n", text)
    found = {re.sub(r"\s+", " ", each).strip() for each in statements}
    found = {
        re.sub(r"^INSERT INTO \w+\.(\w+) VALUES", r"TABLE \1:", each)
        for each in found
        # Its body says where the store is, or that it is here.
        if "FUNCTION bank._is_open()" not in each or not each.startswith("CREATE")
    }
    return {
        each for each in found if not any(re.fullmatch(local, each, re.DOTALL) for local in LOCAL)
    }


def fill(places: Places) -> None:
    """Something in each table, and each constant that is made from data."""
    with psycopg.connect(places.source, autocommit=True) as conn:
        call = conn.execute
        for number in range(3):
            call(
                "SELECT bank.write_message(%s, 'Noted', '{}', tags => '{one,two}')",
                [f"note-{number}"],
            )
        call("SELECT bank.create_subscription('kept', categories => '{note}', partitions => 2)")
        call("SELECT bank.create_subscription('tagged', tags => '{one}')")
        call("SELECT bank.create_subscription('parks', on_failure => 'park', max_attempts => 1)")
        call("SELECT bank.claim_batch('{kept}', 'worker')")
        call(
            "SELECT bank.fail_message('parks', c.partition, c.token, c.global_position, 'why')"
            " FROM bank.claim_batch('{parks}', 'worker', max_count => 1) AS c"
        )
        call("SELECT bank.publish_horizon()")
        call("SELECT bank.schedule_message('note-9', 'Noted', '{}', now() + interval '1 day')")
        call("SELECT bank.set_retention('other', max_count => 5)")
        call("SELECT bank.save_snapshot('note-1', 'balance', 1, 1, '{}', 0)")
        call("SELECT bank.redact_message(message_id, '{}', 'asked') FROM bank.all_messages LIMIT 1")
        call("SELECT bank.delete_stream('note-2')")
        for kind in ("read", "consume", "monitor", "admin"):
            call("SELECT bank.grant_access('filler', %s)", [kind])
        call("SELECT bank.grant_access('filler', 'write', '{note}')")
        call("GRANT SELECT ON bank.streams TO filler")


def test_store_is_the_same_at_both_places(places: Places, servers: tuple[Server, Server]) -> None:
    for server in servers:
        do(server.conninfo, "CREATE ROLE filler; CREATE ROLE heir")
    try:
        for place in (places.source, places.target):
            # The target's role would give its own new objects to anybody.
            do(place, "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO heir")
            do(place, "ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO heir")
        fill(places)
        empty = [
            name
            for (name,) in rows(
                places.source,
                "SELECT relname::text FROM pg_class WHERE relnamespace = 'bank'::regnamespace"
                " AND relkind = 'r' AND relpersistence = 'p'",
            )
            if rows(places.source, f"SELECT FROM bank.{name} LIMIT 1") == []
        ]
        # So that a table that is forgotten is noticed.
        assert empty == ["store_fence"]
        move(places)
        source, target = (
            dumped(server, place)
            for server, place in zip(servers, (places.source, places.target), strict=True)
        )
        assert len(source) > 500
        assert source - target == set()
        assert target - source == set()
    finally:
        for place, server in zip((places.source, places.target), servers, strict=True):
            do(place, "DROP OWNED BY filler, heir")
            do(server.conninfo, "DROP ROLE filler, heir")


@pytest.fixture
def by_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each table is a large one, of many parts."""
    monkeypatch.setattr(_comparing, "_SMALL", 0)
    monkeypatch.setattr(_comparing, "_PART", 8192)


def altered(places: Places, step: str, statement: str) -> Callable[[str, str], None]:
    """Change the copy when a step begins, as a failover of the target can have done."""

    def told(said: str, detail: str) -> None:
        if said == step and not detail:
            with psycopg.connect(places.target, autocommit=True) as target:
                target.execute("SET session_replication_role = replica")
                target.execute(statement.encode())

    return told


@pytest.mark.usefixtures("by_parts")
def test_large_tables_are_compared_before_the_store_is_closed(places: Places) -> None:
    rows(places.source, "SELECT nextval('bank.global_position_seq')")  # no message gets it
    with store_of(places) as store:
        for number in range(300):
            store.write(f"note-{number % 7}", Noted(number))
        for statement, position in (
            ("DELETE FROM bank.messages WHERE global_position = 130", 130),
            ("UPDATE bank.messages SET type = 'Other' WHERE global_position = 2", 2),
            (
                "INSERT INTO bank.messages"
                " SELECT 1, 1, 500, 0, now(), gen_random_uuid(), 'A', '{}'",
                1,
            ),
        ):
            with pytest.raises(MoveError, match=f"messages .* global_position {position}"):
                move(places, progress=altered(places, "compare", statement))
            assert places.directory.place(STORE).state == "moving"
            taken_back(places)
        move(places)
        assert [each.message.number for each in store.read_all()] == list(range(300))


@pytest.mark.usefixtures("by_parts")
@pytest.mark.parametrize(
    ("step", "statement", "said"),
    [
        # Rows that do not come to rest are compared at the end; the copy may have more of them.
        ("compare", "UPDATE bank.streams SET floor = 7 WHERE stream_id = 1", "streams"),
        ("compare", "INSERT INTO bank.streams SELECT 99, 0, 'z-1', 'z', 0", "streams"),
        ("compare", "INSERT INTO bank.streams SELECT -99, 0, 'z-1', 'z', 0", "streams"),
        # Messages that came after the comparison.
        ("fence", "DELETE FROM bank.messages WHERE version = 2", "messages"),
    ],
)
def test_rows_of_large_tables_that_are_left_for_the_end_are_compared_then(
    places: Places, step: str, statement: str, said: str
) -> None:
    rows(places.source, "SELECT bank.write_message('note-1', 'Noted', '1')")
    alter = altered(places, step, statement)
    seen: list[str] = []

    def told(at: str, detail: str) -> None:
        if at == "fence":
            rows(places.source, "SELECT bank.write_message('note-1', 'Noted', '1')")
            arrived = "SELECT FROM bank.messages WHERE version = 2"
            until(lambda: rows(places.target, arrived) != [])
        alter(at, detail)
        seen.append(at)

    with pytest.raises(MoveError, match=f"not the same at both places: {said}"):
        move(places, progress=told)
    assert seen[-1] == "drain"
    assert rows(places.source, "SELECT FROM bank.fence_of_store()") == []


@pytest.mark.usefixtures("by_parts")
def test_many_rows_that_do_not_come_to_rest_end_a_move_while_the_store_is_open(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To compare all of them at the end would keep the store closed."""
    monkeypatch.setattr(_comparing, "_RESTLESS", 3)
    with store_of(places) as store:
        for number in range(5):
            store.write(f"note-{number}", Noted(number))
    steps: list[str] = []
    alter = altered(places, "compare", "UPDATE bank.streams SET floor = 7")

    def told(step: str, detail: str) -> None:
        alter(step, detail)
        steps.append(step)

    with pytest.raises(MoveError, match=r"streams .* stream_id \d"):
        move(places, progress=told)
    assert steps[-1] == "compare"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM bank.messages WHERE global_position = 2", "messages"),
        ("UPDATE bank.grants SET kind = 'read'", "grants"),
        ("DELETE FROM bank.message_tags", "message_tags"),
        ("REVOKE SELECT ON bank.all_messages FROM PUBLIC, keeper", ""),
        ("GRANT SELECT ON bank.messages TO keeper", "keeper has SELECT on relation messages"),
    ],
)
def test_difference_leaves_the_store_open(
    places: Places, servers: tuple[Server, Server], statement: str, said: str
) -> None:
    for server in servers:
        do(server.conninfo, "CREATE ROLE keeper")
    try:
        with psycopg.connect(places.source, autocommit=True) as conn:
            conn.execute("SELECT bank.grant_access('keeper', 'admin')")
            for number in range(3):
                conn.execute(
                    "SELECT bank.write_message(%s, 'Noted', '1', tags => '{one}')",
                    [f"note-{number}"],
                )
        told = altered(places, "fence", statement)
        if said:
            with pytest.raises(MoveError, match=said):
                move(places, progress=told)
            assert rows(places.source, "SELECT FROM bank.fence_of_store()") == []
        else:
            move(places, progress=told)  # given again
    finally:
        for place, server in zip((places.source, places.target), servers, strict=True):
            do(place, "DROP OWNED BY keeper")
            do(server.conninfo, "DROP ROLE keeper")


@pytest.mark.usefixtures("by_parts")
def test_rows_that_change_all_the_time_do_not_keep_a_store_from_moving(places: Places) -> None:
    with Load(places.directory, places.elsewhere) as load:
        load.goes_on(5)
        move(places)
        load.goes_on(5)
        load.settle()
    with store_of(places) as store:
        assert sorted(each.message.number for each in store.read_all()) == sorted(load.written)


def taken_back(places: Places) -> None:
    with Move(places.source, places.target, store=STORE, directory=places.directory) as found:
        found.abort()
