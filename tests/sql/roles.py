"""Roles of a test's own, and sessions of theirs."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from tests.sql.store import Store


@contextmanager
def new_role(store: Store, options: str = "LOGIN", name: str | None = None) -> Iterator[str]:
    """Create a role to which nothing was granted; drop it in the end."""
    name = name or f"role_{uuid4().hex[:12]}"
    store.query(f"CREATE ROLE {name} {options}")
    yield name
    if store.query("SELECT FROM pg_roles AS r WHERE r.rolname = %s", [name]).rowcount:
        store.query(f"DROP OWNED BY {name}")
        store.query(f"DROP ROLE {name}")
    # Otherwise, as of any role that is not there, what it may write to would still be a rule.
    for kind in ("read", "write", "consume", "monitor", "admin"):
        store.call("revoke_access", name, kind)
