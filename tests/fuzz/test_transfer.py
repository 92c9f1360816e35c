"""Every public function of pgstore.transfer, with what it does not expect."""

from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from pgstore import Directory, transfer
from tests.fuzz.judging import check_documented, fuzzed
from tests.fuzz.values import Given, arguments

FUNCTIONS = [
    transfer.check, transfer.export, transfer.export_file, transfer.import_from, transfer.open_file,
    transfer.verify, transfer.FileSource, transfer.DepecheSource, transfer.MessageDbSource,
]  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_transfer_raises_what_is_documented(
    function: Any, fuzz_conninfo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    export = tmp_path / "given.jsonl"
    with psycopg.connect(fuzz_conninfo, autocommit=True) as conn:
        transfer.export_file(conn, export)
        expected = {
            "conn": st.just(conn),
            "source": st.builds(transfer.FileSource, st.just(export)),
            "file": st.builds(BytesIO),
            "path": st.just(
                tmp_path / "new.jsonl.gz" if function is transfer.export_file else export
            ),
            "store": st.just("pgstore"),
            "category": st.just("fuzz"),
            "stream": st.just("fuzz-1"),
            "after": st.just(0),
            "overwrite": st.just(True),
            "on_progress": st.none(),
            "begin": st.none(),
            "positions": st.sampled_from(["auto", "new"]),
            "batch_messages": st.just(100),
            "max_bytes": st.just(1000),
            "conninfo": st.just(fuzz_conninfo),
            "name": st.just("none"),
            "schema": st.sampled_from([None, "public"]),
            "type_key": st.just("type"),
            "time_zone": st.just("UTC"),
        }

        @fuzzed(8 if function is transfer.verify else 30)
        @given(arguments(function, expected))
        def check(given: Given) -> None:
            try:
                answer = function(**given.named)
                if hasattr(answer, "__enter__"):
                    with answer:
                        pass
                if hasattr(answer, "read"):
                    with answer.read(10) as found:
                        next(found, None)
            except OSError:
                pass  # of files
            except Exception as error:
                check_documented(error)
            finally:
                if not conn.closed:
                    conn.rollback()

        check()


def test_a_move_is_made_or_refused(fuzz_conninfo: str) -> None:
    other = make_conninfo(fuzz_conninfo, dbname="template1")
    Directory(fuzz_conninfo).install()
    expected = {
        "source": st.just(fuzz_conninfo),
        "target": st.just(other),
        "store": st.just("pgstore"),
        "directory": st.sampled_from([None, Directory(fuzz_conninfo)]),
        "replicate_from": st.none(),
        "replace_closed": st.booleans(),
        "patience": st.just(1.0),
        "progress": st.just(print),
    }

    @fuzzed(60)
    @given(arguments(transfer.Move, expected))
    def check(given: Given) -> None:
        try:
            with transfer.Move(**given.named) as move:
                move.check()
        except Exception as error:
            check_documented(error)

    check()
