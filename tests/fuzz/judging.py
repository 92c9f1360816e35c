"""Which errors are documented, and which come bare from another library or from Python."""

import opcode
import os
from pathlib import Path
from types import TracebackType

import psycopg
import psycopg_pool
from hypothesis import HealthCheck, settings

import pgstore
from tests.fuzz.values import Raised

EXAMPLES = os.environ.get("PGSTORE_TEST_EXAMPLES")

_PACKAGE = f"{Path(pgstore.__file__).resolve().parent}{os.sep}"

# What stays PostgreSQL's, in docs/reference/errors.md.
POSTGRESQL = {"25006", "40001", "40P01", "53200", "55P03", "42501", "55000"}


def fuzzed(examples: int) -> settings:
    """So many examples, always the same; with PGSTORE_TEST_EXAMPLES as many as that, and others."""
    return settings(
        max_examples=int(EXAMPLES or examples),
        derandomize=EXAMPLES is None,
        database=None,
        deadline=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )


def check_documented(error: BaseException) -> None:
    """Raise an error again, unless it is documented: see docs/reference/errors.md."""
    if not is_documented(error):
        raise error


def is_documented(error: BaseException) -> bool:
    if isinstance(error, pgstore.PgstoreError | Raised):
        return True
    if isinstance(error, psycopg.Error):
        return error.sqlstate in POSTGRESQL or isinstance(
            error, psycopg_pool.PoolTimeout | psycopg.OperationalError
        )
    return isinstance(error, TypeError | ValueError | TimeoutError) and _is_ours(
        error.__traceback__
    )


def _is_ours(traceback: TracebackType | None) -> bool:
    """Tell whether a statement `raise` of the package has raised it."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return False
    code = traceback.tb_frame.f_code
    raised = opcode.opname[code.co_code[traceback.tb_lasti]] == "RAISE_VARARGS"
    return raised and code.co_filename.startswith(_PACKAGE)
