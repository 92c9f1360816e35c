"""What is logged: text from outside steers no terminal, begins no line and tells no password."""

import io
import logging
from collections.abc import Iterator

import psycopg
import psycopg_pool
import pytest

from pgstore import InvalidArgumentError, TransactionFailedError
from pgstore._compat.events import Event
from pgstore._core.log import Formatter, log
from pgstore._core.outages import Outage
from pgstore._core.text import masked, one_line, printable
from pgstore._sync.source import Source, connecting

# C0, DEL, C1, separators of lines and paragraphs, and what turns the direction of writing.
STEERING = (
    "\x00\x07\x08\n\r\x1b[2J\x1b]0;x\x07\x7f\x85\x9b1m\u061c\u200f\u2028\u2029\u202e\u2066\u2069"
)
FORGED = f"{STEERING}\n2026-01-01 ERROR root: forged"


def steers(text: str) -> bool:
    return bool(set(text) & (set(STEERING) - set("[2J0;x1m]\n")))


def begins_a_line(text: str) -> bool:
    return any(line.startswith("2026-01-01 ERROR root") for line in text.splitlines())


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What a program's own handler, with an ordinary formatter, writes."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    log.addHandler(handler)
    yield written
    log.removeHandler(handler)


def failed() -> Exception:
    """An error with everything that a traceback shows of it and of those behind it."""
    try:
        try:
            raise KeyError(FORGED)
        except KeyError as cause:
            error = ValueError(FORGED)
            error.add_note(FORGED)
            raise error from cause
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    "error",
    [failed(), ExceptionGroup(FORGED, [failed()]), psycopg.OperationalError(FORGED)],
    ids=["chain", "group", "driver"],
)
def test_an_error_of_a_handler_is_logged_whole_and_legible(
    error: BaseException, logged: io.StringIO
) -> None:
    log.error("position %s: %s", 7, "retry", exc_info=error)
    log.error("%s", error)
    text = logged.getvalue()
    assert not steers(text)
    assert not begins_a_line(text)
    assert "\\x1b[2J" in text
    assert "forged" in text
    if error.__traceback__:
        assert "raise KeyError(FORGED)\n" in text
        assert "direct cause" in text


class Untellable(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


def test_an_error_whose_text_cannot_be_made_is_logged_too(logged: io.StringIO) -> None:
    error = Untellable()
    error.add_note("a note")
    error.__notes__.append(Untellable())  # type: ignore[arg-type]
    log.error("%s", error, exc_info=error)
    error.__notes__ = 7  # type: ignore[assignment]
    log.error("%s", error, exc_info=error)
    assert "Untellable, whose text cannot be made" in logged.getvalue()


def test_who_wants_the_error_itself_gets_it(caplog: pytest.LogCaptureFixture) -> None:
    error = failed()
    log.error("%s", "parked", exc_info=error)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_an_error_of_megabytes_is_cut_off_in_the_log(logged: io.StringIO) -> None:
    log.error("%s", "\0" * 20_000_000, exc_info=ValueError("\0" * 20_000_000))
    assert len(logged.getvalue()) < 100_000


def test_names_from_outside_are_legible_in_the_log(logged: io.StringIO) -> None:
    log.warning("subscription %s: %.1f s", FORGED, 1.5)
    Outage(FORGED).met(object(), psycopg.OperationalError(FORGED))
    text = logged.getvalue()
    assert not steers(text)
    assert text.count("\n") == 2


def test_what_others_log_is_legible_where_the_log_is_the_terminal() -> None:
    formatter = Formatter("%(levelname)s %(message)s")
    for args in ((FORGED,), ("postgresql://ada:hunter2@db/x",)):
        record = logging.makeLogRecord(
            {"msg": "%s", "args": args, "exc_info": (ValueError, failed(), None)}
        )
        text = formatter.format(record)
        assert not steers(text)
        assert not begins_a_line(text)
        assert "hunter2" not in text


def test_the_log_of_the_pool_is_legible(caplog: pytest.LogCaptureFixture) -> None:
    end = Event()
    end.set()
    kind = connecting(Source("host='/nowhere\x1b[2J\u202e'", "bank", True), end)
    with (
        psycopg_pool.ConnectionPool(connection_class=kind, open=True, min_size=1) as pool,
        pytest.raises(psycopg_pool.PoolTimeout),
    ):
        pool.wait(0.5)
    assert "\\x1b[2J" in caplog.text
    assert not set(caplog.text) & set("\x1b\u202e")


def test_errors_of_pgstore_are_printable() -> None:
    for error in (InvalidArgumentError(FORGED), TransactionFailedError(FORGED)):
        assert str(error) == printable(FORGED)
        assert str(error).isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at postgresql://ada:a b/c@d@host/db", "at postgresql://…@host/db"),
        ("postgresql+psycopg://ada:x@h", "postgresql+psycopg://…@h"),
        ("amqp://ada:secret@queue/x", "amqp://ada:…@queue/x"),
        ("http://127.0.0.1:80/path of ada@example.org", None),
        ("host=h PASSWORD = 'a b' user=ada", "host=h PASSWORD =…"),
        ("password authentication failed", None),
    ],
)
def test_passwords_are_masked(text: str, shown: str | None) -> None:
    assert masked(text) == (text if shown is None else shown)
    assert one_line(text) == masked(text)
