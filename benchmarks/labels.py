"""What contenders and their variants are called, and which kind they are."""

from benchmarks.figures import Figure, base
from benchmarks.record import Record

VARIANTS = {
    "consumers": "consumers",
    "growth": "messages",
    "history": "messages",
    "writers": "writers",
}
"""What the number in a variant's name counts."""


def title_of(name: str, figure: Figure, record: Record) -> str:
    contender, _, variant = name.partition("/")
    title = record.contenders.get(contender, {}).get("title") or contender
    if not variant:
        return title
    if variant.isdecimal():
        counted = VARIANTS.get(figure.workload, "")
        return f"{title}, {int(variant):,} {counted[:-1] if variant == '1' else counted}".strip()
    return f"{title}, {variant}"


def kind_of(name: str) -> str:
    if base(name) in ("pgstore", "pgstore-grouped"):
        return "ours"
    limits = ("raw", "echo", "notified", "floor", "skip-locked")
    return "limit" if base(name) in limits else "peer"
