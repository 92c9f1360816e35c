"""An import that is killed half-way, and run again."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg

from tests.transfer.conftest import Place

ROOT = Path(__file__).parents[2]

IMPORT = """
import sys, psycopg
from pgstore import transfer
conninfo, path, store = sys.argv[1:]
with psycopg.connect(conninfo, autocommit=True) as conn:
    transfer.import_from(conn, transfer.FileSource(path), store=store, batch_messages=20)
"""
COUNT = 20_000


def test_killed_import_goes_on_when_it_is_run_again(
    old: Place, new: Place, file: Path, conninfo: str
) -> None:
    old.query(
        "SELECT STORE.write_arrays('account-' || s, array_agg('A'::text), array_agg("
        "to_jsonb(n))) FROM generate_series(1, %s) AS n CROSS JOIN LATERAL (SELECT n %% 100 AS s)"
        " AS g GROUP BY s",
        COUNT,
    )
    old.export(file)
    kills = 0
    while (before := len(new.content())) < COUNT:
        process = subprocess.Popen(
            [sys.executable, "-c", IMPORT, conninfo, file, new.name], cwd=ROOT
        )
        count = f"SELECT count(*) FROM {new.name}.messages".encode()
        with psycopg.connect(conninfo, autocommit=True) as conn:
            while kills < 3 and process.poll() is None:
                row = conn.execute(count).fetchone()
                if row is not None and row[0] > before + 1000:
                    process.send_signal(signal.SIGKILL)
                    kills += 1
                    break
                time.sleep(0.002)
        process.wait()
        # What its session still does after it is gone is done whole.
        with new.conn.transaction():
            new.query("LOCK TABLE STORE.messages")
        assert new.wrong() == {}
    assert kills == 3
    assert new.content() == old.content()
    assert new.write("account-1") == old.write("account-1")
