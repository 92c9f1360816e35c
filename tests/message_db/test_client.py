"""A client of Message DB as it is on PyPI, on Message DB and on the interface."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from psycopg.conninfo import make_conninfo

from tests.transfer.peers import message_db_py

PROGRAM = Path(__file__).parent / "client.py"


def answers(conninfo: str) -> list[Any]:
    done = subprocess.run(
        [sys.executable, PROGRAM, make_conninfo(conninfo, options="-c role=message_store")],
        env=os.environ | {"PYTHONPATH": str(message_db_py())},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["unused"] == []
    found: list[Any] = told["answers"]
    places: dict[int, int] = {}
    return [ranked(answer, places) for answer in found]


def ranked(value: Any, places: dict[int, int]) -> Any:
    """Global positions in the order in which they are first seen: gaps differ."""
    if isinstance(value, list):
        return [ranked(each, places) for each in value]
    if isinstance(value, dict) and "global_position" in value:
        place = value["global_position"]
        return value | {"global_position": places.setdefault(place, len(places))}
    return value


def test_client_gets_the_same_answers_as_of_message_db(served: str, original: str) -> None:
    theirs, ours = answers(original), answers(served)
    assert len(ours) > 90
    assert len([each for each in ours if isinstance(each[-1], list)]) > 50
    assert ours == theirs
