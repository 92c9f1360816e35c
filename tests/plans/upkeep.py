"""Messages that are kept for later, are deleted or are changed."""

from tests.plans.case import KEPT, Case

# The next one that is due is the first one of the index.
_FIRST_DUE = KEPT | {"scheduled_messages"}

# The newest version of the row is the last one of the index.
_PUBLISHED = KEPT | {"store_horizon"}

# Retention looks at each policy, and for writers in flight.
_POLICIES = KEPT | {"retention_policies", "subscriptions", "pg_database"}

UPKEEP = {
    "export": Case("SELECT * FROM export_messages({total} / 2, {total}, 10)", 20, 150),
    "export of a category": Case(
        "SELECT * FROM export_messages({total} / 2, {total}, 10, 'rare')", 20, 150
    ),
    "export of a stream": Case(
        "SELECT * FROM export_messages(0, {total}, 10, stream => 'big-1')", 20, 100
    ),
    "export of a stream, the next page": Case(
        "SELECT * FROM export_messages({total} / 2, {total}, 10, stream => 'big-1')", 20, 100
    ),
    "save": Case("SELECT save_snapshot('big-1', 's', 1, 5000, '{{}}', 0)", 3, 100),
    "redact, a tag less": Case(
        "WITH written AS MATERIALIZED ("
        " SELECT i.id, write_message('big-1', 'T', '1', message_id => i.id, tags => '{{a,b}}')"
        " FROM (SELECT new_message_id() AS id OFFSET 0) AS i)"
        " SELECT redact_message(w.id, '2', 'why', remove_tags => '{{a}}') FROM written AS w",
        4,
        150,
    ),
    "truncate": Case(
        "SELECT truncate_stream('medium-2', stream_version('medium-2') / 2)", 300, 900
    ),
    "retention": Case(
        "SELECT set_retention('rare', max_age => '0'), apply_retention(1)", 10, 150, None, _POLICIES
    ),
    "delete": Case("SELECT delete_stream('big-1', expected_version => 7)", 5, 100, "MS001"),
    "schedule": Case("SELECT schedule_message('big-1', 'T', '1', now() + '1 day')", 2, 150),
    "schedule, new id": Case(
        "SELECT schedule_message('big-1', 'T', '1', now() + '1 day', NULL, new_message_id())",
        2,
        150,
    ),
    "schedule, id in use": Case(
        "SELECT schedule_message('big-1', 'T', '1', now(), NULL, md5('77')::uuid)", 4, 150, "MS002"
    ),
    "cancel": Case("SELECT cancel_message(md5('scheduled 7')::uuid)", 2, 100),
    "deliver, nothing due": Case("SELECT deliver_scheduled()", 2, 100, None, _FIRST_DUE),
    "deliver": Case("SELECT deliver_scheduled(3, due_by => 'infinity')", 60, 300, None, _FIRST_DUE),
    "forget the scheduled of a stream": Case(
        "SELECT _forget_scheduled('scheduled-7')", 4000, 15000
    ),
    "publish": Case("SELECT publish_horizon('me')", 1, 50, None, _PUBLISHED),
    "age of what is published": Case(
        "SELECT publish_horizon('me'), horizon_age()", 1, 50, None, _PUBLISHED
    ),
    "scheduled of a stream": Case("SELECT * FROM list_scheduled('scheduled-7', 100)", 150, 400),
}
