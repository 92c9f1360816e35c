"""Of many racers for the last places exactly the allowed number wins; broken SQL is seen to fail.

In each round all racers begin at once, half of them for the places of one rule, half for those of
another. `make test-long` has 10,000 rules of which all places are taken.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.amounts import amount
from tests.concurrency.races import PLAIN, Race, Racer, Rule, Token, alone, as_read
from tests.stores import Stores

WITHOUT_IMPORT = [name for name in PLAIN if name != "import_messages"]
Turn = Callable[[Racer, int, int], None]
FEW, MANY = 3, 12


def rules_of(rounds: int, places: int = 1) -> list[tuple[Rule, Rule]]:
    """Two rules a round that have no tag in common."""
    return [(Rule(places), Rule(places)) for _ in range(rounds)]


def all_of(rules: list[tuple[Rule, Rule]]) -> list[Rule]:
    return [rule for pair in rules for rule in pair]


@pytest.mark.parametrize(
    ("racers", "rounds", "places"),
    [(16, amount(25, 4000), 1), (16, amount(10, 500), FEW), (64, amount(5, 500), 1)],
)
def test_exactly_so_many_racers_win(
    server_conninfo: str, store: str, racers: int, rounds: int, places: int
) -> None:
    rules = rules_of(rounds, places)
    race = Race(server_conninfo, store, racers)

    def turn(racer: Racer, number: int, each: int) -> None:
        racer.repeat()
        racer.take_a_place(rules[each][number % 2])

    race.run(rounds, turn)
    assert race.failures == []
    assert race.stale(all_of(rules)) == []
    taken = race.matches(all_of(rules)).values()
    assert {len(positions) for positions in taken} == {places}
    assert len(race.won) == 2 * rounds * places


@pytest.mark.parametrize("racers", [16, 64])
def test_decisions_know_all_that_was_written_without_a_condition(
    server_conninfo: str, store: str, racers: int
) -> None:
    rounds = amount(10, 300) if racers == 16 else amount(3, 50)
    # The others write three for each two racers of a rule: one place at least is left.
    rules = rules_of(rounds, racers * 3 // 4 + 1)
    race = Race(server_conninfo, store, racers)
    race.run(rounds, of_a_mixed_race(rules, WITHOUT_IMPORT))
    assert race.failures == []
    assert race.stale(all_of(rules)) == []
    assert race.won != []


def of_a_mixed_race(rules: list[tuple[Rule, Rule]], functions: list[str]) -> Turn:
    """Half of the racers write without a condition; some of these are rolled back."""

    def turn(racer: Racer, number: int, each: int) -> None:
        rule = rules[each][number % 2]
        if (number // 2 + each) % 2 == 0:
            for _ in range(3):
                racer.add(rule, functions, commits=racer.choice.random() < 0.7)
        else:
            racer.take_a_place(rule)

    return turn


def over_a_lower_position(rules: list[tuple[Rule, Rule]]) -> Turn:
    """The others read while a match is in flight, and one with a higher position is committed."""
    higher = [(threading.Event(), threading.Event()) for _ in rules]
    lower = [(threading.Event(), threading.Event()) for _ in rules]

    def turn(racer: Racer, number: int, each: int) -> None:
        rule = rules[each][number % 2]
        below, above = lower[each][number % 2], higher[each][number % 2]

        def wait() -> None:
            below.set()
            assert above.wait(20)
            time.sleep(0.005)

        if number < 2:
            racer.add_around(rule, wait)
        elif number < 4:
            assert below.wait(20)
            racer.add_around(rule, lambda: None)
            above.set()
        else:
            assert above.wait(20)
            racer.take_a_place(rule)

    return turn


def test_decisions_know_what_was_in_flight_below_what_they_have_seen(
    server_conninfo: str, store: str
) -> None:
    rounds = amount(10, 500)
    rules = rules_of(rounds, FEW)
    race = Race(server_conninfo, store, 16)
    race.run(rounds, over_a_lower_position(rules))
    assert race.failures == []
    assert race.stale(all_of(rules)) == []
    assert {len(found) for found in race.matches(all_of(rules)).values()} == {FEW}


def test_decisions_know_all_that_was_imported(server_conninfo: str, store: str) -> None:
    """In transactions of one call: an import waits for others that hold the table."""
    rounds = amount(10, 200)
    rules = rules_of(rounds, MANY)
    race = Race(server_conninfo, store, 16)
    race.ways = [alone]
    race.run(rounds, of_a_mixed_race(rules, ["import_messages"]))
    assert race.failures == []
    assert race.stale(all_of(rules)) == []


@pytest.fixture
def broken(stores: Stores, server_conninfo: str) -> Iterator[tuple[str, "Break"]]:
    """A store whose functions may be changed, and how to do that."""
    with stores.taken() as name, psycopg.connect(server_conninfo, autocommit=True) as conn:

        def change(pattern: str, by: str) -> None:
            changed = 0
            for (text,) in conn.execute(
                "SELECT pg_get_functiondef(p.oid) FROM pg_proc AS p"
                " WHERE p.pronamespace = %s::regnamespace AND p.prosrc ~ %s",
                [name, "_tag_lock_class"],
            ).fetchall():
                new, number = re.subn(pattern, by, text)
                if number:
                    conn.execute(f"SET search_path = {name}")
                    conn.execute(new)
                    changed += number
            assert changed > 0

        yield name, change


Break = Callable[[str, str], None]


# Races until one has shown what the broken functions do; most show it in the first.
ENOUGH = 100


def raced(
    conninfo: str,
    store: str,
    turn: Callable[[list[tuple[Rule, Rule]]], Turn],
    *,
    rounds: int = 3,
    places: int = MANY,
    token: Token = as_read,
) -> tuple[list[BaseException], list[tuple[int, list[int]]]]:
    """Race until something fails or a winner is stale: the failures, and the stale winners."""
    for _ in range(ENOUGH):
        rules = rules_of(rounds, places)
        race = Race(conninfo, store, 16, token)
        race.run(rounds, turn(rules))
        stale = race.stale(all_of(rules))
        if race.failures or stale:
            return race.failures, stale
    return [], []


def mixed(rules: list[tuple[Rule, Rule]]) -> Turn:
    return of_a_mixed_race(rules, WITHOUT_IMPORT)


def test_without_the_lock_of_a_condition_decisions_are_stale(
    server_conninfo: str, broken: tuple[str, Break]
) -> None:
    store, change = broken
    change(
        r"pg_advisory_xact_lock\(_tag_lock_class\(\)",
        "pg_advisory_xact_lock_shared(_tag_lock_class()",
    )
    failures, stale = raced(server_conninfo, store, mixed)
    assert failures == []
    assert stale != []


def test_without_the_locks_of_writers_decisions_are_stale(
    server_conninfo: str, broken: tuple[str, Break]
) -> None:
    store, change = broken
    change(
        r"pg_advisory_xact_lock_shared\(\s*_tag_lock_class\(\)",
        "pg_advisory_xact_lock_shared((random() * 1e9)::integer",
    )
    failures, stale = raced(server_conninfo, store, mixed)
    assert failures == []
    assert stale != []


def test_with_the_highest_position_as_token_decisions_are_stale(
    server_conninfo: str, broken: tuple[str, Break]
) -> None:
    store, _ = broken

    def highest(seen: list[int], _: str) -> str:
        return f"{max(seen, default=0)}+"

    failures, stale = raced(
        server_conninfo, store, over_a_lower_position, places=FEW, token=highest
    )
    assert failures == []
    assert stale != []


def test_with_locks_in_no_order_writers_deadlock(
    server_conninfo: str, broken: tuple[str, Break]
) -> None:
    store, change = broken
    change("ORDER BY 1", "ORDER BY random()")
    failures, _ = raced(server_conninfo, store, mixed)
    assert {type(error) for error in failures} == {psycopg.errors.DeadlockDetected}
