"""check_handling: a handler's transaction that was ended is told from one that was not."""

import psycopg
import pytest

import pgstore
from tests.conftest import Connect
from tests.sql.store import Store

LEASE = ("s'ubscription", 3, 17)


def begun(store: Store, connect: Connect) -> psycopg.Connection:
    conn = connect(autocommit=True)
    conn.execute("BEGIN")
    store.call("begin_handling", *LEASE, on=conn)
    return conn


def test_check_handling_accepts_the_transaction_that_was_begun(
    store: Store, connect: Connect
) -> None:
    conn = begun(store, connect)
    conn.execute("SAVEPOINT a; SELECT 1; ROLLBACK TO a")
    store.call("check_handling", *LEASE, on=conn)
    conn.execute("COMMIT")


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
@pytest.mark.parametrize("then", ["", "BEGIN", "AND CHAIN"])
def test_check_handling_refuses_what_comes_after_it(
    store: Store, connect: Connect, end: str, then: str
) -> None:
    conn = begun(store, connect)
    conn.execute(f"{end} {then}" if then == "AND CHAIN" else f"{end}; {then}")
    with pytest.raises(pgstore.TransactionEndedError) as caught:
        store.call("check_handling", *LEASE, on=conn)
    assert caught.value.sqlstate == "MS023"
    assert caught.value.detail == {"subscription": LEASE[0], "partition": 3, "token": 17}
    assert (caught.value.subscription, caught.value.partition) == LEASE[:2]


@pytest.mark.parametrize("other", [("other", *LEASE[1:]), (LEASE[0], 4, 17), (*LEASE[:2], 18)])
def test_check_handling_refuses_another_lease(
    store: Store, connect: Connect, other: tuple[str, int, int]
) -> None:
    conn = begun(store, connect)
    with pytest.raises(pgstore.TransactionEndedError):
        store.call("check_handling", *other, on=conn)
