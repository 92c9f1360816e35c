"""The plans of a statement and of every statement in the functions that it calls.

The server's module auto_explain tells them, as notices to the client.
"""

import re
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import msgspec
import psycopg
from psycopg.errors import Diagnostic
from psycopg.rows import TupleRow

_SETTINGS = {
    "log_min_duration": "0",
    "log_nested_statements": "on",
    "log_analyze": "on",
    "log_buffers": "on",
    "log_settings": "on",
    "log_timing": "off",
    "log_format": "json",
    "log_level": "notice",
}
_DROPPED = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
_TOLD = ("Node Type", "Relation Name", "Index Name", "Index Cond", "Filter", "Join Filter")

Node = dict[str, Any]

# The default of the setting jit_above_cost.
JIT_ABOVE_COST = 100_000


class Plan(msgspec.Struct):
    """How one statement was run, once."""

    query: str = msgspec.field(name="Query Text")
    root: Node = msgspec.field(name="Plan")
    settings: dict[str, str] = msgspec.field(name="Settings", default_factory=dict)
    jit: dict[str, Any] | None = msgspec.field(name="JIT", default=None)

    def __str__(self) -> str:
        about = [f"cost {self.cost}", f"settings {self.settings}"]
        return "\n".join([self.query, *about, *_lines(self.root, "")])

    @property
    def cost(self) -> float:
        """What the planner thinks that it costs."""
        return float(self.root["Total Cost"])

    @property
    def may_compile(self) -> bool:
        """Whether the statement's settings let the server compile it, if it costs enough."""
        return self.settings.get("jit") != "off"

    @property
    def compiled(self) -> bool:
        """Whether a server with LLVM compiles it, also if this one has none."""
        return self.jit is not None or (self.may_compile and self.cost > JIT_ABOVE_COST)

    @property
    def blocks(self) -> int:
        """Blocks touched, if it scans a table.

        Not of a mere call: its nested statements are counted by themselves, and the rest are the
        catalog's, which a session reads anew whenever something changed there.
        """
        if not any(self._scans()):
            return 0
        return int(self.root["Shared Hit Blocks"] + self.root["Shared Read Blocks"])

    @property
    def rows(self) -> float:
        """Rows that the scans of tables and indexes have looked at, and perhaps dropped."""
        return sum(_rows(node) for node in self._scans())

    @property
    def walks(self) -> list[Node]:
        """Scans of a whole table or a whole index, also those that skip along it."""
        return [node for node in self._scans() if not _looks_up(node) and not _by_place(node)]

    def _scans(self) -> Iterator[Node]:
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            waiting += node.get("Plans", [])
            if node["Node Type"].endswith("Scan") and node.keys() & {"Relation Name", "Index Name"}:
                yield node


class Explained:
    """A connection in autocommit mode that tells the plans of what it runs."""

    def __init__(self, conninfo: str, store: str, plan_cache_mode: str) -> None:
        self.store = store
        self.conn = psycopg.connect(
            conninfo,
            autocommit=True,
            options=f"-c search_path={store} -c plan_cache_mode={plan_cache_mode} -c jit=on",
        )
        self.conn.execute("LOAD 'auto_explain'")
        for name, value in _SETTINGS.items():
            self.conn.execute("SELECT set_config(%s, %s, false)", (f"auto_explain.{name}", value))
        self._plans: list[Plan] = []
        self.conn.add_notice_handler(self._note)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.conn.close()

    def rows(self, statement: str) -> list[TupleRow]:
        """Run a statement; its answer."""
        self._plans = []
        return self.conn.execute(statement.encode()).fetchall()

    def run(self, statement: str) -> str | None:
        """Run a statement; the code of its error, None if it succeeds."""
        self._plans = []
        try:
            self.conn.execute(statement.encode())
        except psycopg.Error as error:
            return error.sqlstate
        return None

    @property
    def plans(self) -> list[Plan]:
        """What the last statement did, nested statements before those that called them."""
        return self._plans

    def _note(self, notice: Diagnostic) -> None:
        _, separator, plan = (notice.message_primary or "").partition("plan:\n")
        assert separator, notice.message_primary
        self._plans.append(msgspec.json.decode(plan, type=Plan))


def _looks_up(node: Node) -> bool:
    """Whether a scan has a condition on the first column of its index, which the name begins with.

    With one on a later column only, PostgreSQL 18 looks up each value that the first one has.
    """
    condition = node.get("Index Cond")
    columns = node.get("Index Name", "").removeprefix(f"{node.get('Relation Name')}_")
    return condition is not None and (
        "Relation Name" not in node
        or any(columns.startswith(f"{word}_") for word in re.findall(r"\w+", condition))
    )


def _by_place(node: Node) -> bool:
    """Whether a scan of a table is told where the rows are."""
    return node["Node Type"] in ("Bitmap Heap Scan", "Tid Scan")


def _rows(node: Node) -> float:
    each_time = node["Actual Rows"] + sum(node.get(key, 0) for key in _DROPPED)
    return float(each_time * node["Actual Loops"])


def _lines(node: Node, indent: str) -> Iterator[str]:
    about = [str(node[key]) for key in _TOLD if key in node]
    blocks = node["Shared Hit Blocks"] + node["Shared Read Blocks"]
    yield f"{indent}{' · '.join(about)} · rows {_rows(node):g} · blocks {blocks}"
    for child in node.get("Plans", []):
        yield from _lines(child, indent + "  ")
