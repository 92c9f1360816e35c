"""What is asked of Message DB and of the interface, one after the other: texts of SQL.

`@3` stands for the global position of the third message that was written, which gaps make another
one in each database.
"""

from collections.abc import Iterator
from itertools import product

NAMES = [
    *("NULL", "''", "'a'", "'a-'", "'-'", "'-x'", "'+'", "'a-b'", "'a-b-c'", "'a-b+c'", "'a-+'"),
    *("'a-+c'", "'a+b'", "'a+b-c'", "'a:b-1+2'", "'a:b+c-1+2'", "'a--b'", "'a-b+c+d'", "'É-😀+ä'"),
    *("' - '", "'someStream-123'", "repeat('x', 1000)", "'x-' || repeat('y', 900)"),
]

_ID = "00000000-0000-0000-0000-{:012}"


def identity(number: int) -> str:
    return f"'{_ID.format(number)}'"


def of_names() -> Iterator[str]:
    functions = ["category", "id", "cardinal_id", "is_category", "hash_64", "acquire_lock"]
    for function, name in product([*functions, "stream_version"], NAMES):
        yield f"SELECT {function}({name})"
        yield f"SELECT message_store.{function}({name})"
    for function in functions[:4]:
        yield f"SELECT {function}(stream_name => 'a-b')"
    yield "SELECT hash_64(value => 'a'), hash_64('a'::text), hash_64('')"
    yield "SELECT message_store_version()"
    yield "SELECT stream_version(stream_name => 'a-b')"
    yield "SELECT category(stream_name => 1)"


def writes() -> Iterator[str]:
    """Messages in several categories, and refused writes between them."""
    streams = [
        *("account-1", "account-2", "account-1+9", "account-1+8", "account", "account-", "other-1"),
        *("account:command-1", "account:command-2+7", "accounts-1", "É-😀", "account-1-2"),
    ]
    metadata = [
        *("NULL", "'{}'", """'{"correlationStreamName": "order-1"}'"""),
        *(
            """'{"correlationStreamName": "order"}'""",
            """'{"correlationStreamName": "orders-1"}'""",
        ),
        *(
            """'{"correlationStreamName": null}'""",
            """'{"correlationStreamName": 7, "a": [1.50]}'""",
        ),
    ]
    number = 0
    for turn in range(4):
        for stream in streams:
            number += 1
            data = ["'{\"a\": 1}'", "'[1, 2.50, null]'", "'\"text\"'", "NULL"][number % 4]
            given = f"{identity(number)}, '{stream}', 'Type{turn % 3}', {data}"
            yield f"SELECT write_message({given}, {metadata[number % 7]})"
            if turn == 1:
                yield f"SELECT write_message({given})"
                yield f"SELECT message_store.write_message({given}, NULL, {turn})"
    versions = ["-1", "0", "3", "4", "NULL", "-2", "9223372036854775807"]
    names = ["account-1", "new-{}", "bare"]
    for number, (version, name) in enumerate(product(versions, names), 1000):
        given = f"{identity(number)}, '{name.format(number)}', 'A', '{{}}'"
        yield f"SELECT write_message({given}, NULL, {version})"


def odd_writes() -> Iterator[str]:
    fresh = iter(range(5000, 6000))
    yield "SELECT write_message(NULL, 'odd-1', 'A', '{}')"
    yield f"SELECT write_message({identity(next(fresh))}, NULL, 'A', '{{}}')"
    yield f"SELECT write_message({identity(next(fresh))}, NULL, NULL, '{{}}', NULL, 3)"
    yield f"SELECT write_message({identity(next(fresh))}, 'odd-1', NULL, '{{}}')"
    yield "SELECT write_message(NULL, NULL, NULL, NULL)"
    yield "SELECT write_message('no uuid', 'odd-1', 'A', '{}')"
    yield "SELECT write_message('no uuid', 'odd-1', 'A', '{}', NULL, 17)"
    yield "SELECT write_message('no uuid', 'odd-1', NULL, '{}')"
    yield "SELECT write_message('', 'odd-1', 'A', '{}')"
    yield f"SELECT write_message({identity(next(fresh))}, 'odd-1', 'A', 'no json')"
    yield f"SELECT write_message({identity(next(fresh))}, 'odd-1', 'A')"
    # The same id again: the same message, another one, elsewhere.
    yield f"SELECT write_message({identity(1)}, 'account-1', 'Type0', '[1, 2.50, null]', '{{}}')"
    yield f"SELECT write_message({identity(1)}, 'account-1', 'Other', '{{}}')"
    yield f"SELECT write_message({identity(1)}, 'odd-1', 'A', '{{}}')"
    yield f"SELECT write_message({identity(1)}, 'odd-1', 'A', '{{}}', NULL, -1)"
    yield f"SELECT write_message({identity(1)}, 'odd-1', 'A', '{{}}', NULL, 5)"
    yield f"SELECT write_message({identity(1)}, NULL, 'A', '{{}}')"
    yield (
        "SELECT write_message('AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE', 'odd-1', 'A', '{}'),"
        " stream_version('odd-1')"
    )
    yield "SELECT write_message('{aaaaaaaabbbbccccddddeeeeeeeeeeee}', 'odd-2', 'A', '{}')"
    yield (
        f"SELECT write_message(expected_version => -1, metadata => '{{\"m\": 1}}', data => '{{}}',"
        f" type => 'Named', stream_name => 'odd-named', id => {identity(next(fresh))})"
    )
    yield "SELECT * FROM get_last_stream_message('odd-1')"
    # Several in one transaction, and in one statement.
    for end in ("COMMIT", "ROLLBACK"):
        yield "BEGIN"
        for _ in range(3):
            yield f"SELECT write_message({identity(next(fresh))}, 'odd-{end}', 'A', '{{}}')"
        yield f"SELECT position, data FROM get_stream_messages('odd-{end}')"
        yield f"SELECT stream_version('odd-{end}')"
        yield end
        yield f"SELECT stream_version('odd-{end}')"
    yield "BEGIN"
    yield f"SELECT write_message({identity(next(fresh))}, 'odd-3', 'A', '{{}}')"
    yield "SAVEPOINT s"
    yield f"SELECT write_message({identity(next(fresh))}, 'odd-3', 'A', '{{}}', NULL, 5)"
    yield "ROLLBACK TO s"
    yield f"SELECT write_message({identity(next(fresh))}, 'odd-3', 'A', '{{}}', NULL, 0)"
    yield "COMMIT"
    yield (
        f"SELECT write_message('{_ID[:-7]}' || lpad(n::text, 12, '0'), 'odd-4', 'A', to_jsonb(n))"
        " FROM generate_series(7001, 7005) AS n"
    )
    yield "SELECT * FROM get_stream_messages('odd-4')"


STREAMS = ["'account-1'", "'account-1+9'", "'É-😀'", "'none-1'", "'account'", "''", "NULL"]
POSITIONS = ["NULL", "-1", "0", "1", "2", "9", "-9223372036854775808", "9223372036854775807"]
BATCHES = ["NULL", "-1", "0", "1", "2", "1000", "9223372036854775807", "-2", "-9223372036854775808"]


def stream_reads() -> Iterator[str]:
    for name in STREAMS:
        yield f"SELECT * FROM get_stream_messages({name})"
        yield f"SELECT * FROM get_last_stream_message({name})"
        for type_ in ("NULL", "'Type0'", "'Type2'", "'None'", "''"):
            yield f"SELECT * FROM message_store.get_last_stream_message({name}, {type_})"
    for position, batch in product(POSITIONS, BATCHES):
        yield f"SELECT * FROM get_stream_messages('account-1', {position}, {batch})"
    yield "SELECT pg_typeof(m)::text FROM get_stream_messages('account-1', batch_size => 1) AS m"
    yield "SELECT (get_stream_messages('account-1', batch_size => 1)).type"
    yield "SELECT * FROM get_stream_messages(stream_name => 'account-1', position => 2)"
    yield "SELECT * FROM get_last_stream_message(stream_name => 'account-1', type => 'Type0')"


def category_reads() -> Iterator[str]:
    call = "SELECT * FROM get_category_messages"
    for name in ("'account'", "'account:command'", "'É'", "'none'", "'account-1'", "''", "NULL"):
        yield f"{call}({name})"
    places = [
        "NULL",
        "-1",
        "0",
        "1",
        "@2",
        "@30",
        "@30 + 1",
        "-9223372036854775808",
        "@30 + 1000000",
    ]
    for position, batch in product([*places, "9223372036854775807"], BATCHES):
        yield f"{call}('account', {position}, {batch})"
    for correlation in ("NULL", "''", "'order'", "'orders'", "'none'", "'order-1'", "'-'", "'7'"):
        for batch in ("1000", "1"):
            yield f"{call}('account', 0, {batch}, {correlation})"
        yield f"{call}('account:command', 0, -1, {correlation}, 0, 2)"
    numbers = ["NULL", "-1", "0", "1", "2", "3", "32767", "32768", "40000", "-9223372036854775808"]
    for member, size in product(numbers, numbers):
        yield f"{call}('account', 1, 1000, NULL, {member}, {size})"
    for member, batch in product("012", ("-1", "1", "2", "0", "-5")):
        yield f"{call}('account', @3, {batch}, NULL, {member}, 3)"
    yield f"{call}(category => 'account', batch_size => 2, position => @2)"
    yield (
        f"{call}('account', consumer_group_member => 0, consumer_group_size => 2,"
        " correlation => 'order')"
    )
    # Of several faults, which one is named.
    yield f"{call}('account-1', 1, -2, 'x-1', 5, 2, 'true')"
    yield f"{call}('account', 1, -2, 'x-1', 5, 2, 'true')"
    yield f"{call}('account', 1, -2, NULL, 5, 2, 'true')"
    yield f"{call}('account', 1, -2, NULL, 1, 40000, 'true')"
    yield f"{call}('account', 1, -2, NULL, 1, 40000)"


CONDITIONS = [
    *("NULL", "''", "'true'", "'false'", "'position = 1'", "'messages.position < 2'"),
    *("'type = ''Type0'' OR type = ''Type1'''", "'data ->> ''a'' = ''1'''", "'data IS NULL'"),
    *("'id = ''00000000-0000-0000-0000-000000000001'''", "'time > ''2020-01-01'''"),
    *(
        "'global_position > 0 AND stream_name LIKE ''%+%'''",
        "'no_column = 1'",
        "'1'",
        "'%s'",
        "')'",
    ),
    *("'metadata ->> ''correlationStreamName'' IS NOT NULL'", "'cardinal_id(stream_name) = ''1'''"),
    *("'position = (SELECT max(m.position) FROM messages m)'", "'hash_64(id(stream_name)) > 0'"),
    *("'true; SELECT 1'", "'position'", "'true -- x'"),
]


def conditions() -> Iterator[str]:
    calls = [
        "get_stream_messages('account-1', 1, 2, {})",
        "get_stream_messages('account-1', condition => {})",
        "get_stream_messages('account', condition => {})",
        "get_category_messages('account', @2, 4, condition => {})",
        "get_category_messages('account', 0, -1, 'order', 0, 2, {})",
        "get_category_messages('account', 0, -2, NULL, 1, 3, {})",
        "get_category_messages('account-1', condition => {})",
    ]
    for setting in ("off", "on", "yes", "'1'", "TRUE", "off"):
        yield f"SET message_store.sql_condition = {setting}"
        some = CONDITIONS if setting == "on" else CONDITIONS[:5]
        for call, condition in product(calls, some):
            yield f"SELECT * FROM {call.format(condition)}"


VIEWS = [
    *("stream_summary", "type_summary", "stream_type_summary", "type_stream_summary"),
    *("category_type_summary", "type_category_summary"),
]


def views() -> Iterator[str]:
    for view in VIEWS:
        yield f"SELECT * FROM {view}"
        yield f"SELECT * FROM message_store.{view} ORDER BY message_count DESC, 1, 2"
    yield "SELECT * FROM stream_summary WHERE stream_name LIKE '%account%'"
    yield "SELECT * FROM messages ORDER BY global_position"
    yield "SELECT count(*) AS total_count FROM messages"
    yield (
        "SELECT id::varchar, position::bigint, data::varchar, time::timestamp FROM messages"
        " WHERE global_position > @3 ORDER BY global_position LIMIT 5"
    )


def transactions() -> Iterator[str]:
    yield "BEGIN ISOLATION LEVEL READ COMMITTED"
    yield "SELECT * FROM get_category_messages('other')"
    yield "COMMIT"
    yield "BEGIN"
    yield f"SELECT write_message({identity(9500)}, 'own-1', 'A', '{{}}')"
    yield "SELECT stream_name FROM messages WHERE stream_name = 'own-1'"
    yield "SELECT * FROM get_last_stream_message('own-1')"
    yield "COMMIT"
    yield "SELECT * FROM get_category_messages('own')"
    yield (
        f"SELECT write_message({identity(9501)}, 'own-1', 'A', '{{}}'), stream_version('own-1'),"
        " (SELECT max(m.position) FROM get_stream_messages('own-1') AS m)"
    )


def same() -> list[str]:
    """Calls that get the same answer; what is asked twice, is asked before and after writes."""
    return [
        *of_names(), *writes(), *odd_writes(), *of_names(), *stream_reads(), *category_reads(),
        *conditions(), *views(), *transactions(),
    ]  # fmt: skip


def _write(number: int, what: str) -> str:
    return f"SELECT write_message({identity(number)}, {what})"


# Reason, as docs/guides/message-db.md has it; calls before; calls whose answers differ.
DIFFERENT: list[tuple[str, list[str], list[str]]] = [
    (
        "JSON `null` as `data` or `metadata` is read back as `NULL`",
        [_write(8000, "'json-1', 'A', 'null'"), _write(8001, "'json-1', 'A', '{}', 'null'")],
        ["SELECT position, data, metadata FROM get_stream_messages('json-1')"],
    ),
    (
        "`metadata` that is no JSON object is refused",
        [],
        [_write(8002, "'json-2', 'A', '{}', '[1]'"), _write(8003, "'json-2', 'A', '{}', '7'")],
    ),
    (
        "an empty stream name or type is refused",
        [],
        [_write(8004, "'', 'A', '{}'"), _write(8005, "'empty-1', '', '{}'")],
    ),
    (
        "a stream name of more than 1,000 bytes, or a type of more than 255, is refused",
        [],
        [
            _write(8006, "'json-' || repeat('x', 1000), 'A', '{}'"),
            _write(8007, "'json-3', repeat('x', 300), '{}'"),
        ],
    ),
    (
        "JSON of more than 100 arrays and objects in one another is refused",
        [],
        [_write(8008, "'json-4', 'A', (repeat('[', 101) || repeat(']', 101))::jsonb")],
    ),
    (
        "`get_category_messages` does not return messages that its own transaction has written",
        ["BEGIN", _write(8009, "'mine-1', 'A', '{}'")],
        ["SELECT * FROM get_category_messages('mine')"],
    ),
    (
        "`get_category_messages` is refused under `REPEATABLE READ` and `SERIALIZABLE`",
        ["COMMIT", "BEGIN ISOLATION LEVEL REPEATABLE READ"],
        ["SELECT * FROM get_category_messages('account')"],
    ),
    (
        "`messages` is a view: nothing can be inserted into it, and it cannot be truncated",
        ["ROLLBACK"],
        [
            "INSERT INTO messages (position, stream_name, type) VALUES (0, 'inserted-1', 'A')",
            "TRUNCATE messages",
            # Refused there too, for another reason.
            "UPDATE messages SET position = 7",
            "DELETE FROM messages",
        ],
    ),
    (
        "there is no sequence `messages_global_position_seq`",
        [],
        ["SELECT last_value > 0 FROM messages_global_position_seq"],
    ),
    (
        "the settings `message_store.debug…` do nothing",
        ["SET message_store.debug = on"],
        [_write(8010, "'debug-1', 'A', '{}'"), "SELECT * FROM get_stream_messages('debug-1')"],
    ),
    *(
        (
            "a condition is taken only if `message_store.sql_condition` is on",
            [setting],
            ["SELECT * FROM get_stream_messages('account-1', condition => 'true')"],
        )
        for setting in (
            "SET message_store.sql_condition = false",
            "SET message_store.sql_condition = 'OFF'",
            "RESET message_store.sql_condition",
        )
    ),
]
