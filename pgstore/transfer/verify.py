"""Verify: every promise checked against the data, and the store against this package."""

import msgspec
from psycopg import Connection

from pgstore import _sql
from pgstore._sync.cursor import run
from pgstore.transfer import _statements as s


class Check(msgspec.Struct, frozen=True):
    """A check: how many things it looked at, how many are wrong, and one of those."""

    check: str
    checked: int
    wrong: int
    example: str | None


def verify(conn: Connection[object], *, store: str = "pgstore") -> list[Check]:
    """Check a store. `verify_store()` does most of it; what the package knows is compared here.

    It reads the whole store. Nobody has to wait for it.
    """
    rows = run(conn, s.statement(s.VERIFY, store), ())
    return [
        *(Check(*row) for row in rows),
        _migrations(conn, store),
        _definitions(conn, store),
    ]


def _migrations(conn: Connection[object], store: str) -> Check:
    """The migrations that were applied are the ones of this package."""
    applied: dict[int, str] = dict(run(conn, s.statement(s.APPLIED, store), ()))
    known = _sql.checksums()
    numbers = sorted(known.keys() | applied.keys())
    wrong = [number for number in numbers if applied.get(number) != known.get(number)]
    example = None
    if wrong:
        what = f"migration {wrong[0]}" if wrong[0] else "the functions, views and grants"
        problem = (
            "not applied"
            if wrong[0] not in applied
            else "not known to this package"
            if wrong[0] not in known
            else "other than in this package"
        )
        example = f"{what}: {problem}"
    return Check("migrations are those of this package", len(numbers), len(wrong), example)


def _definitions(conn: Connection[object], store: str) -> Check:
    """The bodies of the functions are the ones in this package's files."""
    files = {path.stem: path.read_text(encoding="utf-8") for path in _sql.repeated_files()}
    frozen = "".join(migration.text for migration in _sql.migrations())
    bodies: dict[str, str] = dict(run(conn, s.BODIES, (store,)))
    expected = [name for name, text in files.items() if "\nLANGUAGE plpgsql\n" in text]
    wrong = sorted({*expected} - {*bodies}) + [
        name for name, body in sorted(bodies.items()) if body not in files.get(name, frozen)
    ]
    example = f"function {wrong[0]}" if wrong else None
    return Check(
        "functions are those of this package", len({*expected} | {*bodies}), len(wrong), example
    )
