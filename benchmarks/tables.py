"""Tables in markdown."""

from collections.abc import Iterable


def table_of(head: list[str], rows: Iterable[list[str]]) -> str:
    """A table in markdown; all columns but the first are aligned right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def one_line(text: str, most: int = 120) -> str:
    words = " ".join(text.split()).replace("|", "/")
    return words if len(words) <= most else words[: most - 1] + "…"
