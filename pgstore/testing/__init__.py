"""Tests of your own code: `given`, `handle`, ids that are the same each time, empty stores.

The pytest plugin is `pgstore.pytest_plugin`; nothing here needs pytest.
"""

from pgstore.testing.handling import handle
from pgstore.testing.messages import frozen_ids, stored
from pgstore.testing.outcomes import Outcome, compare_messages
from pgstore.testing.resetting import reset
from pgstore.testing.scenarios import given
from pgstore.testing.stores import FreshStore, FreshStores

__all__ = [
    "FreshStore",
    "FreshStores",
    "Outcome",
    "compare_messages",
    "frozen_ids",
    "given",
    "handle",
    "reset",
    "stored",
]
