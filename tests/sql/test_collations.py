"""Names that callers take from columns of any collation."""

import pytest

from tests.sql.store import Store

COLLATED = '(%s::text COLLATE "POSIX")'


@pytest.mark.parametrize(
    "call",
    [
        f"write_message({COLLATED}, 'A' COLLATE \"POSIX\", '1')",
        f'write_messages({COLLATED}, \'[{{"type": "A", "data": 1}}]\')',
        f"write_arrays({COLLATED}, ARRAY['A'] COLLATE \"POSIX\", '{{1}}')",
        f"write_group(ARRAY[{COLLATED}], ARRAY['A'] COLLATE \"POSIX\", '{{1}}', NULL, NULL,"
        " ARRAY[gen_random_uuid()])",
        f"synchronize_stream({COLLATED}, '{{}}', ARRAY['A'] COLLATE \"POSIX\", '{{1}}')",
        f"read_stream({COLLATED})",
        f"last_message({COLLATED}, 'A' COLLATE \"POSIX\")",
        f"stream_version({COLLATED})",
        f"category({COLLATED})",
        f"read_category({COLLATED}, types => ARRAY['A'] COLLATE \"POSIX\")",
        f"read_all(0, 10, ARRAY['A'] COLLATE \"POSIX\", ARRAY[{COLLATED}, 'x'])",
        f"read_page(stream_pattern => {COLLATED}, partition => 0, partitions => 2,"
        " partition_by => 'cardinal_id' COLLATE \"POSIX\")",
    ],
    ids=lambda call: call.partition("(")[0],
)
def test_names_may_have_any_collation(store: Store, stream: str, call: str) -> None:
    store.write(f"{stream}-other")
    # Twice: the first one may be planned before the collation matters.
    for number in range(2):
        store.query(f"SELECT * FROM STORE.{call}", [f"{stream}-{number}"]).fetchall()


def test_repetition_may_have_any_collation(store: Store, stream: str) -> None:
    call = (
        f"SELECT version FROM STORE.write_message({COLLATED}, 'A' COLLATE \"POSIX\", '1',"
        " message_id => '01890a5d-ac96-774b-bcce-b302099a8057')"
    )
    assert [store.query(call, [stream]).fetchone() for _ in range(3)] == [(1,)] * 3


def test_subscription_may_have_any_collation(store: Store, stream: str) -> None:
    call = (
        f"SELECT STORE.create_subscription({COLLATED}, ARRAY['x'] COLLATE \"POSIX\","
        " ARRAY['A'] COLLATE \"POSIX\", 'x' COLLATE \"POSIX\", 2,"
        " 'metadata:a' COLLATE \"POSIX\", on_failure => 'park' COLLATE \"POSIX\")"
    )
    assert [store.query(call, [stream]).fetchone() for _ in range(3)] == [
        (True,),
        (False,),
        (False,),
    ]
    store.query(f"SELECT STORE.claim_partition(ARRAY[{COLLATED}], 'w' COLLATE \"POSIX\")", [stream])
