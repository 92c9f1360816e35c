"""Two-phase transactions of SQLAlchemy's: a conflict that is caught makes their commit fail too."""

from collections.abc import Iterator

import pytest
from sqlalchemy.exc import IllegalStateChangeError

from pgstore import MessageStore, OptimisticConcurrencyError, TransactionFailedError
from tests.frameworks.engines import Engine, Session, checked_out, engine_of
from tests.frameworks.messages import Paid

Store = MessageStore[Paid]


@pytest.fixture
def engine(conninfo: str) -> Iterator[Engine]:
    engine = engine_of(conninfo, pool_size=1, max_overflow=0, pool_timeout=5)
    yield engine
    engine.dispose()


@pytest.fixture
def store(conninfo: str, shared: str) -> Iterator[Store]:
    with MessageStore[Paid](conninfo, store=shared, messages=Paid) as store:
        yield store


def test_a_session_with_two_phases_fails_at_the_first(
    store: Store, engine: Engine, stream: str
) -> None:
    with Session(engine, twophase=True) as session:
        store.write(stream, Paid(1), conn=session)
        session.commit()
        store.write(stream, Paid(2), conn=session)
        with pytest.raises(OptimisticConcurrencyError):
            store.write(stream, Paid(3), expected_version=77, conn=session)
        # SQLAlchemy 2.0 raises its own error while it handles ours: it then cannot roll back.
        with pytest.raises((TransactionFailedError, IllegalStateChangeError)) as refused:
            session.commit()
        errors = (refused.value, refused.value.__context__)
        assert any(isinstance(each, TransactionFailedError) for each in errors)
        session.rollback()
        store.write(stream, Paid(2), expected_version=1, conn=session)
        session.commit()
    assert (store.stream_version(stream), checked_out(engine)) == (2, 0)


@pytest.mark.parametrize("prepares", [True, False])
def test_a_connection_with_two_phases_fails_at_its_commit(
    store: Store, engine: Engine, stream: str, prepares: bool
) -> None:
    with engine.connect() as conn:
        transaction = conn.begin_twophase()
        store.write(stream, Paid(1), conn=conn)
        with pytest.raises(OptimisticConcurrencyError):
            store.write(stream, Paid(2), expected_version=77, conn=conn)
        with pytest.raises(TransactionFailedError):
            if prepares:
                transaction.prepare()
            else:
                transaction.commit()
        conn.rollback()
        transaction = conn.begin_twophase()
        store.write(stream, Paid(1), expected_version=0, conn=conn)
        transaction.prepare()
        transaction.commit()
    assert (store.stream_version(stream), checked_out(engine)) == (1, 0)
