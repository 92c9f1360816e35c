"""Move a store to another server, by PostgreSQL's logical replication."""

from pgstore.transfer._errors import MoveError
from pgstore.transfer.moving._checks import Finding
from pgstore.transfer.moving._move import STEPS, Move

__all__ = ["STEPS", "Finding", "Move", "MoveError"]
