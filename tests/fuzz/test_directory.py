"""Every method of a directory, with values that it does not expect."""

import asyncio
import inspect
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgstore import AsyncDirectory, Directory
from tests.fuzz.judging import check_documented, fuzzed
from tests.fuzz.values import ANYTHING, EXPECTED, MESSAGES, Given, arguments

METHODS = ["install", "place", "places", "put", "remove", "store"]


def test_all_methods_are_fuzzed() -> None:
    for cls in (Directory, AsyncDirectory):
        names = [name for name, _ in inspect.getmembers(cls, inspect.isfunction) if name[0] != "_"]
        assert names == METHODS


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cls", [Directory, AsyncDirectory])
def test_method_of_a_directory_raises_what_is_documented(
    cls: Any, method: str, fuzz_conninfo: str
) -> None:
    directory = cls(fuzz_conninfo)
    expected = {
        **EXPECTED,
        "conninfo": st.sampled_from([fuzz_conninfo, "host=a,b port=1,2 dbname=d", "service=s"]),
        "store": st.sampled_from(["pgstore", "other"]),
        "messages": st.just(MESSAGES),
        "create": st.just(False),
    }
    Directory(fuzz_conninfo).install()
    function = getattr(cls, method)
    # What people put there by hand, too.
    by_hand = ["", "neither", "host=[::1", "postgresql://%zz", "host=a dbname=d sslmode=?"]

    @fuzzed(60)
    @given(arguments(function, expected), st.sampled_from(by_hand))
    def check(given: Given, entry: str) -> None:
        with psycopg.connect(fuzz_conninfo, autocommit=True) as conn:
            conn.execute("DELETE FROM pgstore_directory.stores")
            conn.execute(
                "INSERT INTO pgstore_directory.stores VALUES ('pgstore', %s)", [entry or "x=y"]
            )
        try:
            found = getattr(directory, method)(**given.named)
            if inspect.isawaitable(found):
                found = asyncio.run(found)  # type: ignore[arg-type]
            if method == "store" and cls is Directory:
                with found:
                    found.stream_version("fuzz-1")
        except Exception as error:
            check_documented(error)

    check()


@pytest.mark.parametrize("cls", [Directory, AsyncDirectory])
def test_a_directory_is_made_or_refused(cls: Any) -> None:
    @fuzzed(60)
    @given(ANYTHING)
    def check(conninfo: Any) -> None:
        try:
            repr(cls(conninfo))
        except Exception as error:
            check_documented(error)

    check()
