"""Both ends compared, while the store is closed at both."""

from pgstore.transfer.moving import _sql as q
from pgstore.transfer.moving._place import End

# A larger table is not read as a whole while everybody waits.
_ROWS = 200_000

# The column that rises, of tables to which rows are only added.
_RISING = {"messages": "global_position", "message_tags": "global_position"}


def compare(source: End, target: End, after: int) -> list[str]:
    """The tables, sequences and rights that differ."""
    wrong = [
        name
        for name in source.names(q.TABLES)
        if (condition := _condition(source, name, after)) is not None
        and _counted(source, name, condition) != _counted(target, name, condition)
    ]
    if sorted(source.rows(q.RIGHTS)) != sorted(target.rows(q.RIGHTS)):
        wrong.append("what roles may do")
    return wrong


def _condition(source: End, table: str, after: int) -> str | None:
    if table in _RISING:
        return f"t.{_RISING[table]} > {after}"
    return "true" if source.value(q.ROWS, source.store, table) <= _ROWS else None


def _counted(end: End, table: str, condition: str) -> tuple[object, ...]:
    statement = q.COUNTED.replace("{table}", table).replace("{condition}", condition)
    return end.rows(statement)[0]
