"""Writes, and checks of them."""

from tests.plans.case import HIGHEST, Case, ids

_OF_BIG = ids("SELECT 10 * i FROM generate_series(1, 5) AS i")
_OF_SMALL_7 = ids("SELECT 5 + {total} / 10 * i FROM generate_series(0, 9) AS i")
_OF_SMALL_8 = ids("SELECT 6 + {total} / 10 * i FROM generate_series(0, 9) AS i")
_NONE_THERE = ids("VALUES (-1), (-2)")
_TWO = "'{{T,T}}', ARRAY['1', '2']::jsonb[]"
_GROUP = (
    "'{{T,T,T}}', ARRAY['1', '2', '3']::jsonb[], NULL, NULL,"
    " ARRAY[gen_random_uuid(), gen_random_uuid(), gen_random_uuid()]"
)
_THREE = "'{{T,T,T}}', ARRAY['1', '2', '3']::jsonb[]"

_ONE_TAGGED = '{{"type": "T", "data": 1, "tags": ["a"]}}'


def _unless(tags: str, token: str) -> str:
    """A condition that looks after a position for messages with all of these tags."""
    return f"condition => '[{{{{\"tags\": {tags}}}}}]', decided_upon => {token}"


_UNLESS = _unless('["often"]', "safe_position() || '+'")
_UNLESS_RARE = _unless('["rare"]', "'0+'")
_UNLESS_NONE_OF_RARE = _unless('["rare", "none"]', "'0+'")

_NEW_IDS = ids("VALUES (-8), (-9), (-10)")


def _check(last_version: str, ids: str) -> str:
    """A check of three messages, of which the first continues big-1."""
    return (
        "SELECT check_messages('{{big-1,new-1,big-1}}',"
        f" ARRAY[stream_version('big-1') + 1, 1, {last_version}],"
        f" {_THREE}, NULL, {ids}, array_fill(now(), '{{{{3}}}}'))"
    )


WRITES = {
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
        f"SELECT write_arrays('small-13', {_THREE}, NULL, NULL, {ids('VALUES (-3), (-4), (-5)')})",
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
    "synchronize, nothing new": Case(
        f"SELECT synchronize_stream('small-7', {_OF_SMALL_7}, '{{{{}}}}', '{{{{}}}}')", 25, 150
    ),
    "synchronize, two new": Case(
        f"SELECT synchronize_stream('small-8', {_OF_SMALL_8}, {_TWO},"
        f" message_ids => {ids('VALUES (-6), (-7)')})",
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
    "check": Case(_check("stream_version('big-1') + 2", _NEW_IDS), 25, 150, None, HIGHEST),
    "check, a gap": Case(_check("7", _NEW_IDS), 25, 150, "MS001", HIGHEST),
    "check, ids in use": Case(
        _check("stream_version('big-1') + 2", f"{_OF_SMALL_7}[1:3]"),
        25,
        150,
        "MS002",
        HIGHEST,
    ),
    "check of floors": Case(
        "SELECT check_floors('{{new-1,big-1}}', '{{7,5}}')", 25, 150, None, HIGHEST
    ),
}
