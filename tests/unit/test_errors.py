"""The tree of errors, without a database."""

import inspect
import pickle
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from pgstore import errors
from pgstore._core.translation import is_lost_connection, is_of_the_server, passes, translated

TREE = {
    errors.InvalidArgumentError: (errors.PgstoreError, ValueError),
    errors.UnknownMessageTypeError: (errors.PgstoreError, LookupError),
    errors.MessageDecodeError: (errors.PgstoreError, ValueError),
    errors.MessageNotFoundError: (errors.PgstoreError, LookupError),
    errors.StreamNotFoundError: (errors.PgstoreError, LookupError),
    errors.StoreNotInstalledError: (errors.PgstoreError,),
    errors.StoreOutdatedError: (errors.PgstoreError,),
    errors.StoreError: (errors.PgstoreError, psycopg.DatabaseError),
    errors.OptimisticConcurrencyError: (errors.StoreError,),
    errors.MessageIdInUseError: (errors.StoreError,),
    errors.MessageIdMismatchError: (errors.StoreError,),
    errors.StoreTooNewError: (errors.StoreError,),
    errors.MigrationEditedError: (errors.StoreError,),
    errors.UnsupportedDatabaseError: (errors.StoreError,),
    errors.ReadIsolationError: (errors.StoreError,),
    errors.StandbyError: (errors.StoreError,),
    errors.PositionBeyondEndError: (errors.StoreError,),
    errors.SequenceBehindError: (errors.StoreError,),
    errors.StreamCutOffError: (errors.StoreError,),
    errors.AppendConditionError: (errors.StoreError,),
    errors.LeaseLostError: (errors.StoreError,),
    errors.SubscriptionNotFoundError: (errors.StoreError,),
    errors.SubscriptionExistsError: (errors.StoreError,),
    errors.TransactionEndedError: (errors.StoreError,),
    errors.StoreMovedError: (errors.StoreError,),
    errors.StoreNotInDirectoryError: (errors.PgstoreError, LookupError),
    errors.StandbyBehindError: (errors.StoreError,),
    errors.TransactionFailedError: (errors.PgstoreError,),
}
CODES = {
    "MS001": errors.OptimisticConcurrencyError,
    "MS002": errors.MessageIdInUseError,
    "MS003": errors.MessageIdMismatchError,
    "MS010": errors.StoreTooNewError,
    "MS011": errors.MigrationEditedError,
    "MS012": errors.UnsupportedDatabaseError,
    "MS004": errors.ReadIsolationError,
    "MS005": errors.StandbyError,
    "MS006": errors.PositionBeyondEndError,
    "MS007": errors.SequenceBehindError,
    "MS008": errors.StreamCutOffError,
    "MS009": errors.AppendConditionError,
    "MS020": errors.LeaseLostError,
    "MS021": errors.SubscriptionNotFoundError,
    "MS022": errors.SubscriptionExistsError,
    "MS023": errors.TransactionEndedError,
    "MS030": errors.StoreMovedError,
    "MS031": errors.StandbyBehindError,
}


def test_tree_holds_every_public_error() -> None:
    public = {
        cls for name, cls in vars(errors).items() if name.endswith("Error") and name[0] != "_"
    }
    assert public - {errors.PgstoreError} == TREE.keys()


@pytest.mark.parametrize("error", TREE)
def test_error_is_what_its_parents_are(error: type[Exception]) -> None:
    for parent in TREE[error]:
        assert issubclass(error, parent)
    assert inspect.getdoc(error) != inspect.getdoc(TREE[error][0])


@pytest.mark.parametrize("code", CODES)
def test_code_is_bound_to_its_class(code: str) -> None:
    assert psycopg.errors.lookup(code) is CODES[code]
    assert CODES[code].sqlstate == code


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidArgumentError("stream must be a name", {"argument": "stream"}),
        errors.UnknownMessageTypeError("unknown message type", "account-1", 3, "Old"),
        errors.MessageDecodeError("cannot decode message", "account-1", 3, "Old"),
        errors.MessageNotFoundError(uuid4()),
        errors.StoreNotInstalledError("there is no store"),
        errors.StoreOutdatedError("the store is old"),
        errors.StoreTooNewError("the store is new"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_error_survives_pickling(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again).keys() == vars(error).keys()
    for name in ("stream", "version", "type", "message_id", "argument"):
        assert getattr(again, name, None) == getattr(error, name, None)


def test_texts_say_what_and_where() -> None:
    unknown = errors.UnknownMessageTypeError("unknown message type", "account-1", 3, "Old")
    assert str(unknown) == "unknown message type (type 'Old', version 3 of stream 'account-1')"
    missing = errors.MessageNotFoundError(UUID(int=1))
    assert str(missing) == "no message has the id 00000000-0000-0000-0000-000000000001"


def test_detail_is_empty_without_an_answer_of_a_server() -> None:
    assert errors.StoreTooNewError("x").detail == {}
    assert errors.InvalidArgumentError("x").argument is None
    assert errors.InvalidArgumentError("x", {"argument": 1}).argument is None


def test_class_has_the_attributes_of_its_errors() -> None:
    """A tool that looks at the class, as `mock` does, finds them without an error of a server."""
    for cls, name in (
        (errors.OptimisticConcurrencyError, "expected_version"),
        (errors.LeaseLostError, "subscription"),
    ):
        assert hasattr(cls, name)


def with_state(sqlstate: str | None) -> psycopg.OperationalError:
    error = psycopg.OperationalError("x")
    error.sqlstate = sqlstate
    return error


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (with_state(None), True),
        (psycopg.errors.AdminShutdown(), True),
        (psycopg.errors.CrashShutdown(), True),
        (psycopg.errors.IdleSessionTimeout(), True),
        (psycopg.errors.QueryCanceled(), False),
        (psycopg.errors.SerializationFailure(), False),
        (psycopg.errors.DeadlockDetected(), False),
        (psycopg.errors.DiskFull(), False),
        (psycopg.errors.OutOfMemory(), False),
        (PoolTimeout("x"), False),
        (PoolClosed("x"), False),
        (TooManyRequests("x"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_a_lost_connection_is_worth_another(
    error: psycopg.OperationalError, lost: bool
) -> None:
    assert is_lost_connection(error) is lost


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.InvalidTextRepresentation("x"),
        psycopg.errors.NumericValueOutOfRange("x"),
        psycopg.errors.UntranslatableCharacter("x"),
        psycopg.DataError("x"),
        UnicodeEncodeError("utf-8", "x", 0, 1, "surrogates not allowed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_refused_arguments_are_told_as_such(error: Exception) -> None:
    with pytest.raises(errors.InvalidArgumentError) as caught, translated():
        raise error
    assert (caught.value.__cause__, caught.value.__suppress_context__) == (None, True)


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.InvalidParameterValue("x"),  # without DETAIL: of the user's own statement
        psycopg.errors.SerializationFailure("x"),
        psycopg.errors.InsufficientPrivilege("x"),
        psycopg.OperationalError("x"),
        errors.OptimisticConcurrencyError("x"),
        KeyError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_other_errors_pass_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, translated():
        raise error
    assert caught.value is error


def test_sequence_that_is_behind_is_no_failure_of_a_message_and_does_not_pass_by_itself() -> None:
    error = errors.SequenceBehindError()
    assert is_of_the_server(error)
    assert not passes(error)
