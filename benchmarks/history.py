"""The tables and the chart of big stores: each figure beside that of the smallest store."""

from benchmarks.figures import Figure
from benchmarks.plots import Line, lines, number
from benchmarks.record import Record
from benchmarks.tables import table_of

LEAST = 0.85
"""Of the smallest store's figure, the least that a larger one is to reach."""

RATES = {
    "client": "write, 1 client",
    "writes": "writes, 32 clients",
    "writes-newest": "write to new streams",
    "writes-any": "write to any stream",
    "batches": "batches of 1,000",
    "reads-newest": "read new streams",
    "reads-any": "read any stream",
    "all": "read in global order",
    "category": "read a rare category",
    "claim": "look for work, there is none",
    "catch-up": "catch-up of the last 10,000",
    "sweep": "a new subscription",
    "verify": "verify",
}
BYTES = ("table", "index", "streams", "log", "dump", "dump-plain", "export")
UPKEEP = ("vacuum-first", "analyze", "vacuum")

TITLE = "A store as it grows: its figures, as shares of those of the smallest one"


def chart_part(record: Record) -> str:
    """The chart and the rates, for the page on performance."""
    found = rates_part(record)
    return found if found == NOTHING else f"![{TITLE}](performance/history.svg)\n\n{found}"


def rates_part(record: Record) -> str:
    """The rates, and the worst share of the smallest store's."""
    found = figures(record, RATES)
    if not found:
        return NOTHING
    run = record.runs["history"]
    sizes = sizes_of(found)
    rows = []
    for figure in found:
        share = least_share(figure)
        told = f"{share:.2f}" if share >= LEAST else f"**{share:.2f}**"
        rows.append([f"{figure.title}, {figure.unit}", *cells(figure, sizes), told])
    head = ["", *(f"{size:,} messages" for size in sizes), "the worst, of the first"]
    how = f"`{run.command}`, {run.at}, {run.seconds / 60:.0f} minutes."
    return f"{table_of(head, rows)}\n\n{how}"


def bytes_part(record: Record) -> str:
    return plain_table(record, BYTES, "bytes a message")


def upkeep_part(record: Record) -> str:
    return plain_table(record, UPKEEP, "seconds")


def plain_table(record: Record, keys: tuple[str, ...], unit: str) -> str:
    found = figures(record, keys)
    if not found:
        return NOTHING
    sizes = sizes_of(found)
    rows = [[figure.title, *cells(figure, sizes)] for figure in found]
    return table_of([unit, *(f"{size:,} messages" for size in sizes)], rows)


NOTHING = "Not measured in this run."


def history_chart(record: Record) -> dict[str, str]:
    """The chart's SVG by its name, if there is anything to draw."""
    rows = [Line(RATES[key_of(each)], "ours", shares(each)) for each in figures(record, RATES)]
    note = "1 is as fast as the smallest store; higher is better, logarithmic scales"
    return {"history": lines(TITLE, note, rows)} if rows else {}


def figures(record: Record, keys: dict[str, str] | tuple[str, ...]) -> list[Figure]:
    found = (record.figure(f"history/{key}") for key in keys)
    return [each for each in found if each is not None]


def key_of(figure: Figure) -> str:
    return figure.key.partition("/")[2]


def sizes_of(found: list[Figure]) -> list[int]:
    return sorted({int(name.partition("/")[2]) for each in found for name in each.rounds})


def cells(figure: Figure, sizes: list[int]) -> list[str]:
    names = (f"pgstore/{size}" for size in sizes)
    return [number(figure.median(name)) if name in figure.rounds else "" for name in names]


def shares(figure: Figure) -> list[tuple[float, float]]:
    """Of each size: the number of messages, and the share of the smallest store's figure."""
    sizes = sizes_of([figure])
    first = f"pgstore/{sizes[0]}"
    return [(size, figure.share(f"pgstore/{size}", first)) for size in sizes]


def least_share(figure: Figure) -> float:
    return min(share for _, share in shares(figure))
