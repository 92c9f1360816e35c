"""What is called, on which store, and how much each statement of it may touch."""

import random
from collections.abc import Iterator
from typing import NamedTuple

import psycopg
from psycopg.rows import TupleRow

from tests.plans.plans import Explained, Plan

# Of n messages: the stream big-1 has every tenth, medium-2 every hundredth, and the streams
# small-7, small-8 … have ten each, far from one another. Every thousandth is in the category rare,
# in streams of ten. Message number i has the id md5(i). Every hundredth has a correlation id, which
# nine others share. Every tenth has the tag often, every thousandth the tag rare too.
_FILL = """
INSERT INTO streams (stream_id, category_key, stream, category)
SELECT s.n, _category_key(c.category), c.category || '-' || s.n, c.category
FROM generate_series(1, {total} / 10 + 2) AS s (n)
CROSS JOIN LATERAL (
  SELECT CASE
    WHEN s.n = 1 THEN 'big'
    WHEN s.n = 2 THEN 'medium'
    WHEN (s.n - 2) % 1000 = 3 THEN 'rare'
    ELSE 'small'
  END AS category
) AS c
WHERE s.n <= 2 OR (s.n - 2) % 10 <> 0 AND (s.n - 2) % 100 <> 1;

INSERT INTO messages (
  global_position, stream_id, version, category_key, added_at, message_id, type, data, metadata,
  tags
)
SELECT
  m.n, s.stream_id, s.version, _category_key(s.category), now(), md5(m.n::text)::uuid,
  'T' || m.n % 3, '{{"amount": 10}}',
  CASE WHEN m.n % 100 = 7 THEN jsonb_build_object('correlation_id', 'c' || m.n / 1000) END,
  CASE WHEN m.n % 1000 = 3 THEN '{{often,rare}}' WHEN m.n % 10 = 3 THEN '{{often}}' END::text[]
FROM generate_series(1, {total}) AS m (n)
CROSS JOIN LATERAL (
  SELECT 1 AS stream_id, m.n / 10 AS version, 'big' AS category
  WHERE m.n % 10 = 0
  UNION ALL
  SELECT 2, m.n / 100 + 1, 'medium'
  WHERE m.n % 100 = 1
  UNION ALL
  SELECT
    2 + m.n % ({total} / 10), m.n / ({total} / 10) + 1,
    CASE WHEN m.n % 1000 = 3 THEN 'rare' ELSE 'small' END
  WHERE m.n % 10 <> 0 AND m.n % 100 <> 1
) AS s;

INSERT INTO message_tags (tag_key, global_position)
SELECT _tag_key(u.tag), m.global_position
FROM messages AS m
CROSS JOIN LATERAL unnest(m.tags) AS u (tag);

INSERT INTO scheduled_messages (
  message_id, due_at, scheduled_at, scheduled_position, stream, type, data
)
SELECT
  md5('scheduled ' || d.n)::uuid, now() + d.n * interval '1 hour', now(), d.n,
  'scheduled-' || d.n % 100, 'T1', '{{"amount": 10}}'
FROM generate_series(1, {total} / 10) AS d (n);

SELECT setval('stream_id_seq', {total} / 10 + 2), setval('global_position_seq', {total});
"""

# A few messages, as an early ANALYZE may find them.
_SEED = """
INSERT INTO streams (stream_id, category_key, stream, category)
SELECT -s.n, _category_key('seed'), 'seed-' || s.n, 'seed'
FROM generate_series(1, {count}) AS s (n);

INSERT INTO messages (
  global_position, stream_id, version, category_key, added_at, message_id, type, data
)
SELECT -m.n, -m.n, 1, _category_key('seed'), now(), gen_random_uuid(), 'T1', '{{"amount": 10}}'
FROM generate_series(1, {count}) AS m (n);

ANALYZE streams, messages;
"""


# What is cut off looks for the errors that are kept of it among all that are kept.
_KEPT: set[str | None] = {"subscription_partitions", "parked_messages"}
# To compare the sequences with what is stored looks for the highest number in each table; a scan of
# an index alone names no table.
_HIGHEST = _KEPT | {"subscriptions", "subscription_sweeps", "retention_policies", "audit", None}


class Case(NamedTuple):
    """A call, what each statement in it may touch, its error, and the tables it may walk along."""

    statement: str
    rows: int
    blocks: int
    error: str | None = None
    walks: set[str | None] = _KEPT


def _ids(numbers: str) -> str:
    return f"(ARRAY(SELECT md5(n::text)::uuid FROM ({numbers}) AS s (n)))"


_OF_BIG = _ids("SELECT 10 * i FROM generate_series(1, 5) AS i")
_OF_SMALL_7 = _ids("SELECT 5 + {total} / 10 * i FROM generate_series(0, 9) AS i")
_OF_SMALL_8 = _ids("SELECT 6 + {total} / 10 * i FROM generate_series(0, 9) AS i")
_NONE_THERE = _ids("VALUES (-1), (-2)")
_TWO = "'{{T,T}}', ARRAY['1', '2']::jsonb[]"
_GROUP = (
    "'{{T,T,T}}', ARRAY['1', '2', '3']::jsonb[], NULL, NULL,"
    " ARRAY[gen_random_uuid(), gen_random_uuid(), gen_random_uuid()]"
)
_THREE = "'{{T,T,T}}', ARRAY['1', '2', '3']::jsonb[]"

_ONE_TAGGED = '{{"type": "T", "data": 1, "tags": ["a"]}}'
_AT_THE_END = "least(safe_position(), {total} - 1000)"


def _unless(tags: str, token: str) -> str:
    """A condition that looks after a position for messages with all of these tags."""
    return f"condition => '[{{{{\"tags\": {tags}}}}}]', decided_upon => {token}"


_UNLESS = _unless('["often"]', "safe_position() || '+'")
_UNLESS_RARE = _unless('["rare"]', "'0+'")
_UNLESS_NONE_OF_RARE = _unless('["rare", "none"]', "'0+'")

# The next one that is due is the first one of the index.
_FIRST_DUE = _KEPT | {"scheduled_messages"}

_NEW_IDS = _ids("VALUES (-8), (-9), (-10)")


def _check(last_version: str, ids: str) -> str:
    """A check of three messages, of which the first continues big-1."""
    return (
        "SELECT check_messages('{{big-1,new-1,big-1}}',"
        f" ARRAY[stream_version('big-1') + 1, 1, {last_version}],"
        f" {_THREE}, NULL, {ids}, array_fill(now(), '{{{{3}}}}'))"
    )


CASES = {
    "first page": Case("SELECT * FROM read_stream('big-1', max_count => 10)", 10, 50),
    "page in the middle": Case("SELECT * FROM read_stream('big-1', 5000, 10)", 10, 50),
    "last page": Case("SELECT * FROM read_stream('big-1', NULL, 10, true)", 10, 50),
    "page before": Case("SELECT * FROM read_stream('big-1', 5000, 10, true)", 10, 50),
    "large page": Case("SELECT * FROM read_stream('big-1')", 1000, 1500),
    "large page in the middle": Case("SELECT * FROM read_stream('big-1', 5000)", 1000, 1500),
    "large page backward": Case("SELECT * FROM read_stream('medium-2', NULL, 500, true)", 500, 800),
    "short stream": Case("SELECT * FROM read_stream('small-7')", 10, 50),
    "missing stream": Case("SELECT * FROM read_stream('none-1')", 0, 50),
    "last message": Case("SELECT * FROM last_message('big-1')", 2, 50),
    "last message of a type": Case("SELECT * FROM last_message('medium-2', 'T2')", 8, 50),
    "last message of none": Case("SELECT * FROM last_message('none-1')", 0, 50),
    "version": Case("SELECT stream_version('big-1')", 2, 50),
    "message": Case("SELECT * FROM get_message(md5('77')::uuid)", 2, 50),
    "no message": Case("SELECT * FROM get_message(md5('none')::uuid)", 0, 50),
    "three messages": Case(
        f"SELECT * FROM get_messages({_ids('VALUES (77), (4), (9999)')})", 6, 60
    ),
    "a hundred messages": Case(
        f"SELECT * FROM get_messages({_ids('SELECT generate_series(1, 100)')})", 200, 1500
    ),
    "load": Case("SELECT * FROM load_stream('big-1', max_count => 10)", 10, 50),
    "load, a snapshot that is not there": Case(
        "SELECT * FROM load_stream('big-1', 's', 1, max_count => 10)", 10, 50
    ),
    "load, a known state": Case(
        "SELECT * FROM load_stream('big-1', 's', 1, known_message_id => md5('5000')::uuid,"
        " known_changes => 0, max_count => 10)",
        10,
        50,
    ),
    "load, up to a time": Case(
        "SELECT * FROM load_stream('small-7', to_time => '-infinity')", 10, 50
    ),
    "load, missing stream": Case("SELECT * FROM load_stream('none-1', 's', 1)", 0, 50),
    "save": Case("SELECT save_snapshot('big-1', 's', 1, 5000, '{{}}', 0)", 3, 100),
    "write": Case("SELECT write_message('big-1', 'T', '1')", 2, 100),
    "write to a new stream": Case(
        "SELECT write_message('new-' || gen_random_uuid(), 'T', '1')", 1, 100
    ),
    "write, right version": Case(
        "SELECT write_message('big-1', 'T', '1', expected_version => stream_version('big-1'))",
        2,
        100,
    ),
    "write, wrong version": Case(
        "SELECT write_message('big-1', 'T', '1', expected_version => 7,"
        " message_id => gen_random_uuid())",
        2,
        100,
        "MS001",
    ),
    "write, repeated": Case(
        "SELECT write_message('small-9', 'T', '1', message_id => md5('again')::uuid)", 4, 100
    ),
    "write, id in use": Case(
        "SELECT write_message('big-1', 'T', '1', message_id => md5('77')::uuid)", 4, 100, "MS002"
    ),
    "batch": Case(f"SELECT write_arrays('big-1', {_THREE})", 2, 150),
    "batch, wrong version": Case(
        f"SELECT write_arrays('big-1', {_TWO}, NULL, 7, {_NONE_THERE})",
        2,
        150,
        "MS001",
    ),
    "batch, repeated": Case(
        f"SELECT write_arrays('small-13', {_THREE}, NULL, NULL, {_ids('VALUES (-3), (-4), (-5)')})",
        20,
        150,
    ),
    "batch, ids in use": Case(
        f"SELECT write_arrays('small-13', {_THREE}, message_ids => {_OF_SMALL_7}[1:3])",
        20,
        150,
        "MS002",
    ),
    "group": Case(f"SELECT write_group('{{{{big-1,small-15,small-16}}}}', {_GROUP})", 6, 150),
    "group of one stream": Case(
        f"SELECT write_group('{{{{big-1,big-1,big-1}}}}', {_GROUP})", 6, 150
    ),
    "group, new streams": Case(
        f"SELECT write_group(ARRAY['new-' || gen_random_uuid(), 'big-1', 'new-' ||"
        f" gen_random_uuid()], {_GROUP})",
        6,
        150,
    ),
    "group, ids in use": Case(
        f"SELECT write_group('{{{{big-1,none-1,small-15}}}}', {_THREE}, NULL, NULL,"
        f" {_OF_SMALL_7}[1:3])",
        8,
        150,
    ),
    "batch as JSON": Case(
        'SELECT write_messages(\'big-1\', \'[{{"type": "T", "data": 1}}]\')', 2, 150
    ),
    "write, tags": Case("SELECT write_message('big-1', 'T', '1', tags => '{{a,b}}')", 4, 100),
    "write, a condition": Case(
        f"SELECT write_message('big-1', 'T', '1', tags => '{{{{a,b}}}}', {_UNLESS})", 4, 100
    ),
    "write, a condition that looks at a rare tag": Case(
        f"SELECT write_message('big-1', 'T', '1', {_UNLESS_NONE_OF_RARE})", 250, 500
    ),
    "write, a message in the way": Case(
        f"SELECT write_message('big-1', 'T', '1', {_UNLESS_RARE})", 4, 100, "MS009"
    ),
    "write if": Case(f"SELECT write_if('big-1', '[{_ONE_TAGGED}]', {_UNLESS})", 4, 150),
    "write two if": Case(
        f"SELECT write_if('big-1', '[{_ONE_TAGGED}, {_ONE_TAGGED}]', {_UNLESS})", 4, 150
    ),
    "write two if, a message in the way": Case(
        f"SELECT write_if('big-1', '[{_ONE_TAGGED}, {_ONE_TAGGED}]', {_UNLESS_RARE})",
        4,
        150,
        "MS009",
    ),
    "batch, a condition": Case(
        f"SELECT write_arrays('big-1', {_TWO}, tags => ARRAY['[\"a\"]', NULL]::jsonb[], {_UNLESS})",
        4,
        150,
    ),
    "redact, a tag less": Case(
        "WITH written AS MATERIALIZED ("
        " SELECT i.id, write_message('big-1', 'T', '1', message_id => i.id, tags => '{{a,b}}')"
        " FROM (SELECT new_message_id() AS id OFFSET 0) AS i)"
        " SELECT redact_message(w.id, '2', 'why', remove_tags => '{{a}}') FROM written AS w",
        4,
        150,
    ),
    "synchronize, nothing new": Case(
        f"SELECT synchronize_stream('small-7', {_OF_SMALL_7}, '{{{{}}}}', '{{{{}}}}')", 25, 150
    ),
    "synchronize, two new": Case(
        f"SELECT synchronize_stream('small-8', {_OF_SMALL_8}, {_TWO},"
        f" message_ids => {_ids('VALUES (-6), (-7)')})",
        25,
        150,
    ),
    "synchronize, wrong version": Case(
        f"SELECT synchronize_stream('big-1', {_OF_BIG}, '{{{{}}}}', '{{{{}}}}')", 15, 150, "MS001"
    ),
    "synchronize, other ids": Case(
        f"SELECT synchronize_stream('big-1', {_OF_SMALL_7}, '{{{{}}}}', '{{{{}}}}')",
        25,
        150,
        "MS003",
    ),
    "check": Case(_check("stream_version('big-1') + 2", _NEW_IDS), 25, 150, None, _HIGHEST),
    "check, a gap": Case(_check("7", _NEW_IDS), 25, 150, "MS001", _HIGHEST),
    "check, ids in use": Case(
        _check("stream_version('big-1') + 2", f"{_OF_SMALL_7}[1:3]"),
        25,
        150,
        "MS002",
        _HIGHEST,
    ),
    "check of floors": Case(
        "SELECT check_floors('{{new-1,big-1}}', '{{7,5}}')", 25, 150, None, _HIGHEST
    ),
    "page of all": Case("SELECT * FROM read_all(0, 10)", 20, 150),
    "page of all in the middle": Case("SELECT * FROM read_all({total} / 2, 10)", 20, 150),
    "page of all at the end": Case("SELECT * FROM read_all({total} - 10, 10)", 20, 150),
    "page of all, nothing new": Case("SELECT * FROM read_all(last_position(), 10)", 1, 50),
    "large page of all": Case("SELECT * FROM read_all({total} / 2, 1000)", 2000, 6000),
    "page of all, of a type": Case("SELECT * FROM read_all({total} / 2, 10, '{{T2}}')", 60, 300),
    "page of all, one partition": Case(
        "SELECT * FROM read_page({total} / 2, 10, partition => 1, partitions => 4)", 400, 2000
    ),
    "page of a category": Case("SELECT * FROM read_category('medium', 0, 10)", 20, 150),
    "page of a category in the middle": Case(
        "SELECT * FROM read_category('medium', {total} / 2, 10)", 20, 150
    ),
    "page of a category at the end": Case(
        "SELECT * FROM read_category('medium', {total} - 500, 10)", 20, 150
    ),
    "page of a category, nothing new": Case(
        "SELECT * FROM read_category('medium', {total})", 20, 150
    ),
    "page of no category": Case("SELECT * FROM read_category('none')", 1, 50),
    "page of a rare category": Case("SELECT * FROM read_category('rare', 0, 10)", 20, 150),
    "page of a rare category in the middle": Case(
        "SELECT * FROM read_page({total} / 2, 10, categories => '{{rare}}')", 20, 150
    ),
    "page as JSON": Case("SELECT read_page_json({total} / 2, 10)", 20, 150),
    "page of a rare category as JSON": Case(
        "SELECT read_page_json({total} / 2, 10, categories => '{{rare}}')", 20, 150
    ),
    "page of metadata as JSON, nothing in the window": Case(
        "SELECT read_matching_json('{{\"a\": 1}}', {total} / 2, 10, max_looked => 100)", 300, 900
    ),
    "page of metadata, nothing in the window": Case(
        "SELECT * FROM read_matching('{{\"a\": 1}}', {total} / 2, 10, max_looked => 100)", 300, 900
    ),
    "page of a correlation id in metadata": Case(
        "SELECT * FROM read_matching("
        "jsonb_build_object('correlation_id', 'c' || {total} / 2000), {total} / 2, 10)",
        21000,
        3000,
    ),
    "page of a category's metadata, nothing in the window": Case(
        "SELECT * FROM read_matching('{{\"a\": 1}}', {total} / 2, 10, categories => '{{medium}}',"
        " max_looked => 100)",
        350,
        1500,
    ),
    "page of categories' metadata, nothing in the window": Case(
        "SELECT * FROM read_matching('{{\"a\": 1}}', {total} / 2, 10,"
        " categories => '{{rare,big,none}}', max_looked => 100)",
        350,
        1500,
    ),
    "page of a rare tag": Case(
        "SELECT * FROM read_matching(NULL, {total} / 2, 10, tags_filter => '{{rare}}')", 30, 100
    ),
    "page of a rare tag that is far": Case(
        "SELECT * FROM read_matching("
        "NULL, {total} / 2, 10, max_looked => 100, tags_filter => '{{rare}}')",
        100,
        100,
    ),
    "page of a rare tag and one that is not": Case(
        "SELECT * FROM read_matching(NULL, {total} / 2, 10, tags_filter => '{{often,rare}}')",
        200,
        100,
    ),
    "page of a tag in a category": Case(
        "SELECT * FROM read_matching("
        "NULL, {total} / 2, 10, tags_filter => '{{often}}', categories => '{{rare}}')",
        3000,
        7000,
    ),
    "page of a tag and metadata, nothing in the window": Case(
        "SELECT * FROM read_matching("
        "'{{\"a\": 1}}', {total} / 2, 10, max_looked => 100, tags_filter => '{{often}}')",
        250,
        500,
    ),
    "page of a tag in the middle": Case(
        "SELECT * FROM read_matching(NULL, {total} / 2, 1000, tags_filter => '{{often}}')",
        3000,
        7000,
    ),
    "page of no tag": Case("SELECT * FROM read_matching(tags_filter => '{{none}}')", 1, 50),
    "tagged, a rare tag": Case('SELECT * FROM read_tagged(\'[{{"tags": ["rare"]}}]\')', 250, 500),
    "tagged as JSON": Case('SELECT read_tagged_json(\'[{{"tags": ["rare"]}}]\')', 250, 500),
    "tagged, at the end": Case(
        f'SELECT * FROM read_tagged(\'[{{{{"tags": ["often"]}}}}]\', {_AT_THE_END})', 250, 900
    ),
    "tagged, two items": Case(
        'SELECT * FROM read_tagged(\'[{{"tags": ["rare"], "types": ["T1"]}},'
        ' {{"tags": ["rare", "often"]}}]\')',
        450,
        900,
    ),
    "tagged, no such tag": Case('SELECT * FROM read_tagged(\'[{{"tags": ["none"]}}]\')', 1, 50),
    "correlation id": Case("SELECT * FROM read_correlated('c' || {total} / 2000)", 20, 150),
    "page of a correlation id": Case(
        "SELECT * FROM read_correlated('c' || {total} / 2000, {total} / 2 + 300, 3)", 6, 100
    ),
    "no such correlation id": Case("SELECT * FROM read_correlated('none')", 1, 50),
    "position before a time": Case("SELECT position_before('-infinity')", 20, 200),
    "page of categories": Case(
        "SELECT * FROM read_all({total} / 2, 10, categories => '{{rare,big,none}}')", 60, 300
    ),
    "truncate": Case(
        "SELECT truncate_stream('medium-2', stream_version('medium-2') / 2)", 300, 900
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
    "scheduled of a stream": Case("SELECT * FROM list_scheduled('scheduled-7', 100)", 150, 400),
    "one stream's statistics": Case(
        "SELECT * FROM stream_statistics WHERE stream = 'big-1'", 3, 50
    ),
}


def fill(conn: psycopg.Connection[TupleRow], total: int) -> None:
    """Write messages, without the store's functions and without telling the planner."""
    conn.execute(_FILL.format(total=total).encode())


def seed(conn: psycopg.Connection[TupleRow], count: int) -> None:
    """Write a few messages, and tell the planner that there are only so few."""
    conn.execute(_SEED.format(count=count).encode())


def wrong_plans(session: Explained, total: int, *, before: int) -> dict[str, list[str]]:
    """What is wrong with the calls, each run so often before that its plans are looked at."""
    found = {}
    for name in random.sample([*CASES], len(CASES)):
        statement = CASES[name].statement.format(total=total)
        for _ in range(before):
            session.run(statement)
        error = session.run(statement)
        found[name] = [*_wrong(CASES[name], error, session.plans)]
    return {name: wrong for name, wrong in found.items() if wrong}


def _wrong(case: Case, error: str | None, plans: list[Plan]) -> Iterator[str]:
    if error != case.error:
        yield f"its error is {error}"
    if plans == []:
        yield "no statement was seen"
    for plan in plans:
        walked = {node.get("Relation Name") for node in plan.walks}
        if (
            not walked <= case.walks
            or plan.compiled
            or plan.rows > case.rows
            or plan.blocks > case.blocks
        ):
            yield f"{plan}\nat most {case.rows} rows, {case.blocks} blocks"
