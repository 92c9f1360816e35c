"""What a reader pays to learn how far it may read, by how many connections the server allows."""

from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.bench import Bench, Database
from benchmarks.workloads.writes import begin

CONNECTIONS = (100, 1_000)


def run(bench: Bench) -> None:
    """Both servers run side by side, so that rounds of one are near in time to the other's."""
    chosen = [each for each in bench.offered("horizon") if each.name == "pgstore"]
    work: dict[str, Callable[[], float]] = {}
    with ExitStack() as opened:
        for connections in CONNECTIONS:
            settings = {"max_connections": str(connections), "shared_buffers": "256MB"}
            server = opened.enter_context(bench.another_server(**settings))
            databases = opened.enter_context(bench.databases(chosen, server))
            for database in databases.values():
                begin(database, bench.sizes.streams)
                for call in ("SELECT 1", "SELECT pgstore.horizon()"):
                    name = f"pgstore/{call}, max_connections {connections:,}"
                    work[name] = cost(database, call, bench.sizes.seconds)
        bench.measure(
            "horizon",
            "A round trip that asks how far a reader may read",
            "µs",
            work,
            better="lower",
            limit=None,
        )


def cost(database: Database, call: str, seconds: float) -> Callable[[], float]:
    return lambda: 1e6 / database.pgbench(f"{call};\n", 1, seconds, writes=False)
