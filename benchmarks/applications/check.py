"""The questions that every application is asked, and the expected answers.

An application reads questions from its standard input, each a JSON list in a line, and answers each
by a line of JSON. It is started on the same database once for each part. The applications in Python
call `answer`.
"""

import json
import sys
import traceback
from collections.abc import Mapping
from threading import Barrier, Thread
from typing import Any

REFUSED = "refused"
FAILED = "failed"
CANNOT = "cannot"
PAYMENTS = 8

Step = tuple[list[Any], Any]

PARTS: list[list[Step]] = [
    [
        (["old_order", "1", "Ada", 25], None),  # in the event's former shape
        (["run", "request-1", "place", "2", "Bob", 500], None),
        (["run", "request-2", "place", "2", "Bob", 500], REFUSED),
        (["run", "request-3", "pay", "1", 2500], None),
        (["run", "request-4", "cancel", "1", "too late"], REFUSED),
        (["run", "request-5", "place", "3", "Eve", 400], None),
        (["at_once", PAYMENTS, "request-6", "pay", "3", 50], None),  # conflicts are tried again
        (["run", "request-7", "cancel", "2", "changed his mind"], None),
        (["run", "request-8", "pay", "2", 500], REFUSED),
        (["run", "request-9", "place", "4", "Dan", 700], None),
        (["version", "3"], 1 + PAYMENTS + 1),
        (["state", "3"], ["paid", 400, 400]),
        (["handle"], None),
        (
            ["orders"],
            [
                ["1", "Ada", 2500, "paid"],
                ["2", "Bob", 0, "cancelled"],
                ["3", "Eve", 400, "paid"],
                ["4", "Dan", 0, "placed"],
            ],
        ),
    ],
    [
        (["run", "request-10", "place", "5", "Kim", 100], None),
        (["run", "request-11", "pay", "5", 100], None),
        (["handle"], FAILED),
        (
            ["orders"],
            [
                ["1", "Ada", 2500, "paid"],
                ["2", "Bob", 0, "cancelled"],
                ["3", "Eve", 400, "paid"],
                ["4", "Dan", 0, "placed"],
            ],
        ),
    ],
    [
        (["handle"], None),
        # The correlation id is the request's, and the cause is the last event of the payment.
        (
            ["parcels"],
            [["1", "request-3", True], ["3", "request-6", True], ["5", "request-11", True]],
        ),
        (["two_days_later"], None),
        (["handle"], None),
        (["state", "4"], ["cancelled", 700, 0]),
        (
            ["orders"],
            [
                ["1", "Ada", 2500, "paid"],
                ["2", "Bob", 0, "cancelled"],
                ["3", "Eve", 400, "paid"],
                ["4", "Dan", 0, "cancelled"],
                ["5", "Kim", 100, "paid"],
            ],
        ),
        (["state_is_kept", "3"], True),
    ],
]

WITHOUT_CHECKPOINTS = 1
"""In this part no transaction commits that moves a checkpoint."""


def answer(app: Mapping[str, Any]) -> None:
    """Answer the questions with the functions of an application, by their names."""
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        found = None
        try:
            if name == "run":
                run(app, *arguments)
            elif name == "at_once":
                at_once(app, *arguments)
            else:
                found = app[name](*arguments)
        except app["Refused"]:
            found = REFUSED
        except Exception:
            traceback.print_exc()
            found = FAILED
        print(json.dumps(found), flush=True)


def run(app: Mapping[str, Any], correlation_id: str, command: str, *arguments: object) -> None:
    app["run"](correlation_id, app[command], *arguments)


def at_once(app: Mapping[str, Any], count: int, *words: Any) -> None:
    """Run a command in several threads at the same time."""
    ready = Barrier(count)
    errors = []

    def work() -> None:
        ready.wait()
        try:
            run(app, *words)
        except Exception as error:
            errors.append(error)

    threads = [Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error
