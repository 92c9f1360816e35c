"""The rights of roles at both ends: they are no rows, so nothing replicates them."""

from psycopg import sql

from pgstore.transfer.moving import _sql as q
from pgstore.transfer.moving._place import End

# Kind and name of an object, a role or None for PUBLIC, the right, and whether it may be passed on.
Right = tuple[str, str, str | None, str, bool]

_OBJECTS = {"schema": "SCHEMA {store}", "relation": "{object}", "function": "FUNCTION {object}"}


def rights_of(end: End) -> set[Right]:
    """All rights but those of the owner."""
    return set(end.rows(q.RIGHTS))


def missing_roles(source: End, target: End) -> list[str]:
    """The roles with rights at the source that the target lacks."""
    roles = sorted({role for _, _, role, _, _ in rights_of(source) if role is not None})
    return [role for (role,) in target.rows(q.MISSING_ROLES, roles)]


def give(source: End, target: End) -> None:
    """Grant the roles what they have at the source: also what was granted by hand."""
    for role, kind in source.rows(q.GRANTS):
        target.rows(q.GRANT, role, kind)
    for kind, name, role, right, passes in sorted(rights_of(source) - rights_of(target), key=repr):
        # A column's right does not say which column: the comparison names it.
        if kind in _OBJECTS:
            target.do(
                "GRANT {right} ON " + _OBJECTS[kind] + " TO {role} {passes}",
                right=sql.SQL(right),
                store=target.store,
                object=sql.Identifier(target.store, name),
                role=role or sql.SQL("PUBLIC"),
                passes=sql.SQL("WITH GRANT OPTION" if passes else ""),
            )


def differences(source: End, target: End) -> list[str]:
    """The rights that one of both has, each in words."""
    here, there = rights_of(source), rights_of(target)
    return [
        f"{role or 'PUBLIC'} has {right} on {kind} {name} at the {end} only"
        for end, found in (("source", here - there), ("target", there - here))
        for kind, name, role, right, _ in sorted(found, key=repr)
    ]
