"""What is not imported, and that it leaves nothing half-written."""

import json
import sys
from collections.abc import Callable
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any
from zlib import crc32
from zoneinfo import ZoneInfo

import pytest

from pgstore import transfer
from pgstore.transfer import FileRefusedError, FileSource, MessageRefusedError
from tests.transfer.conftest import Place

ID = "00000000-0000-4000-8000-{:012}"


def write_file(path: Path, lines: list[dict[str, Any]], *, counted: int | None = None) -> None:
    """Write an export with these messages, checksums and all."""
    header = {
        "format": 1,
        "store": "x",
        "schema_version": 4,
        "exported_at": "2026-01-01T00:00:00Z",
        "after_position": 0,
        "up_to_position": 99,
    }
    messages = sum("floor" not in line for line in lines)
    end = {
        "messages": messages if counted is None else counted,
        "floors": len(lines) - messages,
    }
    total = 0
    with path.open("wb") as file:
        for line in ({"pgstore_export": header}, *lines, {"end": end}):
            start = json.dumps(line).encode()[:-1]
            total = crc32(start, total)
            close = b',"crc32":"%08x"}\n' % total
            total = crc32(close, total)
            file.write(start + close)


def message(number: int, stream: str = "a-1", version: int | None = None, **other: Any) -> Any:
    return {
        "stream": stream,
        "version": number if version is None else version,
        "global_position": number,
        "message_id": ID.format(number),
        "added_at": "2026-01-02T03:04:05.678901+00:00",
        "type": "A",
        "data": {"n": number},
    } | other


def test_written_file_is_imported(new: Place, file: Path) -> None:
    write_file(file, [message(1), message(2), {"stream": "b-1", "floor": 4}, message(3, "b-1", 5)])
    assert new.take(file) == transfer.Imported(3, 0, 1, True)
    assert [row[:3] for row in new.content()] == [("a-1", 1, 1), ("a-1", 2, 2), ("b-1", 5, 3)]


def refused_by_both(new: Place, file: Path, **options: Any) -> MessageRefusedError:
    """What an import raises; a dry run after it says the same."""
    with pytest.raises(MessageRefusedError) as caught:
        new.take(file, **options)
    with pytest.raises(MessageRefusedError) as checked:
        transfer.check(new.conn, FileSource(file), store=new.name)
    found, other = caught.value, checked.value
    assert str(other) == str(found)
    assert (other.place, other.sqlstate, other.hint) == (found.place, found.sqlstate, found.hint)
    return found


BAD: dict[str, tuple[Any, str | None]] = {
    "a gap": (message(9, version=4), "MS001"),
    "a version that is there": (message(9, version=2), "MS001"),
    "a stream that begins late": (message(9, "b-1", 2), "MS001"),
    "version 0": (message(9, version=0), "22023"),
    "an id that is there": (message(9, version=3, message_id=ID.format(1)), "MS002"),
    "an id in other letters": (
        message(9, "b-1", 1, message_id=ID.format(1).replace("-", "").upper()),
        "MS002",
    ),
    "a position that goes back": (message(2, version=3, message_id=ID.format(9)), "22023"),
    "no id": (message(9, version=3, message_id="not-an-id"), "22P02"),
    "no time": (message(9, version=3, added_at="yesterday or so"), "22023"),
    "a month 13": (message(9, version=3, added_at="2026-13-01T00:00:00Z"), "22008"),
    "the year 0": (message(9, version=3, added_at="0000-01-01T00:00:00Z"), "22008"),
    "a time too early for Hawaii": (
        message(9, version=3, added_at="0001-01-01T23:59:59Z"),
        "22023",
    ),
    "a time too late for Kiribati": (
        message(9, version=3, added_at="9999-12-31T00:00:00Z"),
        "22023",
    ),
    "a time too late in UTC": (
        message(9, version=3, added_at="9999-12-30T23:59:59-01:00"),
        "22023",
    ),
    "NUL in a payload": (message(9, version=3, data={"x": "a\0b"}), "22P05"),
    "NUL in a key": (message(9, version=3, data={"a\0b": 1}), "22P05"),
    "NUL in a name": (message(9, "a\0b", 1), None),
    "metadata that is no object": (message(9, version=3, metadata=[1]), "22023"),
    "metadata of null": (message(9, version=3, metadata=None), "22023"),
    "no name": (message(9, "", 1), "22023"),
    "a long name": (message(9, "ä" * 501, 1), "22023"),
    "no type": (message(9, version=3, type=""), "22023"),
    "a long type": (message(9, version=3, type="x" * 256), "22023"),
} | {
    f"the time {time!r}": (message(9, version=3, added_at=time), "22023")
    for time in (
        *("now", "today", "infinity", "-infinity", "epoch", "allballs", "", "20000-01-01"),
        *("44-03-15 BC", "0044-03-15 00:00:00+00 BC", "10000-01-01 00:00:00+00"),
        *("2026-01-02", "2026-01-02T03:04:05", "2026-01-02 03:04:05 Europe/Vienna"),
        *("01/02/2026 03:04:05+00", "20260102T030405Z", "2026-01-02T03:04:05Z\n", "J2460000"),
    )
}


BAD |= {
    "version 2^63": (message(9, version=2**63), None),
    "a long version": (message(9, version=10**4000), None),
    "a long position": (message(10**400, version=3), None),
    "a position at the end": (message(2**63 - 1, version=3, message_id=ID.format(9)), "22023"),
    "a long id": (message(9, version=3, message_id="f" * 100_000), "22P02"),
    "a long time": (message(9, version=3, added_at="9" * 100_000), "22023"),
    "a very long name": (message(9, "n" * 100_000, 1), "22023"),
    "a gap in a stream of a long name": (message(9, "n" * 1000, 2), "MS001"),
    "a very long type": (message(9, version=3, type="n" * 100_000), "22023"),
    "long metadata that is no object": (message(9, version=3, metadata="n" * 100_000), "22023"),
}


@pytest.mark.parametrize("what", BAD)
def test_message_is_refused_with_its_line(new: Place, file: Path, what: str) -> None:
    bad, sqlstate = BAD[what]
    write_file(file, [message(1), message(2), message(3, "c-1", 1), bad, message(10, "d-1", 1)])
    if "position" in what:  # a dry run does not look at them
        with pytest.raises(MessageRefusedError) as caught:
            new.take(file, batch_messages=2)
        refused = caught.value
    else:
        refused = refused_by_both(new, file, batch_messages=2)
    assert refused.place == 5
    assert str(refused).startswith("line 5: ")
    assert refused.sqlstate == sqlstate
    assert len(str(refused)) < 400
    # The batch before it is there, its own is not.
    assert [row[:3] for row in new.content()] == [("a-1", 1, 1), ("a-1", 2, 2)]
    assert new.query("SELECT s.stream FROM STORE.streams AS s") == [("a-1",)]
    assert new.wrong() == {}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"stream": ""}, "stream must be a name of 1 to 1000 bytes, not ''"),
        ({"version": -7}, "-7"),
        ({"version": 2**63}, f"version must be a number of 64 bits, not {2**63}"),
        ({"type": "T" * 300}, "type must be a name of 1 to 255 bytes, not 'TTT"),
        ({"metadata": [17]}, "metadata must be a JSON object or NULL, not "),
        ({"added_at": "0001-01-01T23:59:59Z"}, 'not "0001-01-01'),
        ({"message_id": "no-id"}, "no-id"),
    ],
    ids=lambda each: str(each)[:30],
)
def test_refusal_shows_the_value(new: Place, file: Path, wrong: dict[str, Any], said: str) -> None:
    """The server's own quotes are double."""
    write_file(file, [message(1), message(2) | wrong])
    assert said.replace("'", '"') in str(refused_by_both(new, file)).replace("'", '"')


@pytest.mark.parametrize("floor", [0, -1, 2**62 + 1, 2**63, -(2**63) - 1, 10**4000])
def test_refusal_shows_the_floor(new: Place, file: Path, floor: int) -> None:
    write_file(file, [{"stream": "a-1", "floor": 1}, {"stream": "b-1", "floor": floor}])
    said = str(refused_by_both(new, file))
    assert said.startswith("line 3: floor must be ")
    assert f"not {str(floor)[:60]}" in said
    assert len(said) < 200


@pytest.mark.parametrize(
    "time",
    [
        "0001-01-02T00:00:00Z",
        "9999-12-30T23:59:59.999999+00:00",
        "2026-01-02 03:04:05.6-05",
        "1800-01-01T00:00:00+01:05:20",
    ],
)
def test_time_that_is_imported_is_read_in_every_zone(new: Place, file: Path, time: str) -> None:
    write_file(file, [message(1, added_at=time)])
    new.take(file)
    for zone in ("UTC", "Pacific/Kiritimati", "Etc/GMT+12", "Asia/Manila", "America/Juneau"):
        new.query("SELECT set_config('timezone', %s, false)", zone)
        ((found, epoch),) = new.query(
            "SELECT a.added_at, extract(epoch FROM a.added_at) FROM STORE.all_messages AS a"
        )
        new.query("RESET timezone")
        assert found.timestamp() == pytest.approx(float(epoch), abs=1e-3)
        assert found.astimezone(ZoneInfo(zone)) == found
    assert new.wrong() == {}


def test_floor_that_leaves_no_room_is_refused(new: Place, file: Path) -> None:
    write_file(file, [{"stream": "a-1", "floor": 2**62}, {"stream": "b-1", "floor": 2**62 + 1}])
    refused = refused_by_both(new, file)
    assert (refused.place, refused.sqlstate) == (3, "22023")


WRONG: dict[str, Any] = {
    "a text as a version": message(9, version=3) | {"version": "3"},
    "no data": {key: value for key, value in message(9, version=3).items() if key != "data"},
    "a number as a stream": message(9, version=3) | {"stream": 7},
    "no object": {"message": 1},
    "half a surrogate pair": message(9, version=3, data="\ud800"),
    "a floor of text": {"stream": "a-1", "floor": "1"},
}


@pytest.mark.parametrize("what", WRONG)
def test_line_that_is_no_message_is_refused(new: Place, file: Path, what: str) -> None:
    write_file(file, [message(1), message(2), WRONG[what]])
    with pytest.raises(FileRefusedError) as caught:
        new.take(file, batch_messages=2)
    assert caught.value.line == 4


def test_floor_above_a_streams_end_is_refused(new: Place, file: Path) -> None:
    write_file(file, [message(1)])
    new.take(file)
    write_file(file, [{"stream": "b-1", "floor": 2}, {"stream": "a-1", "floor": 2}])
    refused = refused_by_both(new, file)
    assert (refused.place, refused.sqlstate) == (3, "MS001")
    assert new.query("SELECT s.stream FROM STORE.streams AS s") == [("a-1",)]


def test_same_id_with_another_payload_is_refused(new: Place, file: Path) -> None:
    write_file(file, [message(1)])
    new.take(file)
    write_file(file, [message(1, data={"n": "other"})])
    refused = refused_by_both(new, file)
    assert (refused.place, refused.sqlstate) == (2, "MS002")


def test_kept_positions_must_be_above_the_stores(new: Place, file: Path) -> None:
    new.write("mine-1")
    new.write("mine-1")
    write_file(file, [message(2, version=1)])
    with pytest.raises(MessageRefusedError) as caught:
        new.take(file, positions="keep")
    assert caught.value.place == 2
    assert not new.take(file).positions_kept


def flipped(content: bytes) -> bytes:
    """A payload changed into another that is as good."""
    return content.replace(b'"n": 2', b'"n": 7', 1)


def cut(content: bytes) -> bytes:
    return content[:-30]


def without_a_line(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join(lines[:2] + lines[3:])


def without_the_end(content: bytes) -> bytes:
    return b"".join(content.splitlines(keepends=True)[:-1])


def in_another_order(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join([*lines[:2], lines[3], lines[2], *lines[4:]])


def with_a_line_twice(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join(lines[:4] + lines[3:])


def longer(content: bytes) -> bytes:
    return content + b"{}\n"


def empty(_: bytes) -> bytes:
    return b""


DAMAGES: list[tuple[Callable[[bytes], bytes], int]] = [
    (flipped, 3),
    (cut, 6),
    (without_a_line, 3),
    (without_the_end, 6),
    (in_another_order, 3),
    (with_a_line_twice, 5),
    (longer, 7),
    (empty, 1),
]


@pytest.mark.parametrize(("damage", "line"), DAMAGES, ids=[d.__name__ for d, _ in DAMAGES])
def test_damaged_file_is_refused_before_anything_is_written(
    new: Place, file: Path, damage: Callable[[bytes], bytes], line: int
) -> None:
    write_file(file, [message(n) for n in (1, 2, 3, 4)])
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(FileRefusedError) as caught:
        new.take(file, batch_messages=1)
    assert caught.value.line == line
    assert new.content() == []


def test_damaged_compressed_file_is_refused(old: Place, new: Place, tmp_path: Path) -> None:
    old.write("a-1")
    file = tmp_path / "x.jsonl.gz"
    old.export(file)
    whole = file.read_bytes()
    for damaged in (whole[:20], whole[:200], whole[:-4], whole[:150] + b"\xff" + whole[151:]):
        file.write_bytes(damaged)
        with pytest.raises(FileRefusedError):
            new.take(file)
    assert new.content() == []


def test_standard_input_is_imported_up_to_the_line_that_is_wrong(
    new: Place, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file(file, [message(n) for n in (1, 2, 3, 4)])
    whole = file.read_bytes()
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(flipped(whole))))
    with pytest.raises(FileRefusedError) as caught:
        new.take(Path("-"), batch_messages=1)
    assert caught.value.line == 3
    assert len(new.content()) == 1
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(whole)))
    new.take(Path("-"), batch_messages=1)
    assert len(new.content()) == 4


def test_end_that_counts_others_is_refused(new: Place, file: Path) -> None:
    write_file(file, [message(1), message(2)], counted=3)
    with pytest.raises(FileRefusedError) as caught:
        new.take(file)
    assert caught.value.line == 4


def test_file_of_a_later_format_is_refused(new: Place, file: Path) -> None:
    write_file(file, [message(1)])
    start = file.read_bytes().split(b',"crc32"')[0].replace(b'"format": 1', b'"format": 2')
    file.write_bytes(start + b',"crc32":"%08x"}\n' % crc32(start))
    with pytest.raises(FileRefusedError) as caught:
        new.take(file)
    assert "format 2" in caught.value.reason


def test_dry_run_counts_and_writes_nothing(new: Place, file: Path) -> None:
    write_file(file, [{"stream": "b-1", "floor": 4}, message(1), message(2), message(3, "b-1", 5)])
    found = transfer.check(new.conn, FileSource(file), store=new.name)
    assert (found.messages, found.stored, found.floors, found.streams) == (3, 0, 1, 2)
    assert new.content() == []
    assert new.value("SELECT count(*) FROM STORE.streams") == 0
    new.take(file)
    found = transfer.check(new.conn, FileSource(file), store=new.name)
    assert (found.messages, found.stored) == (3, 3)


def test_dry_run_knows_what_earlier_batches_bring(
    new: Place, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgstore.transfer.checking.MESSAGES", 1)
    write_file(file, [message(n) for n in (1, 2, 3)])
    new.take(file)
    lines = [
        {"stream": "b-1", "floor": 4},
        {"stream": "b-1", "floor": 6},
        *(message(n) for n in (1, 2, 3, 4)),
        message(7, "b-1"),
        message(8, "c-1", 1),
        message(9, "c-1", 2),
    ]
    write_file(file, lines)
    with pytest.raises(MessageRefusedError, match="at version 4, what was cut off") as caught:
        transfer.check(new.conn, FileSource(file), store=new.name)
    assert (caught.value.place, caught.value.sqlstate) == (3, "MS001")
    write_file(file, lines[1:])
    found = transfer.check(new.conn, FileSource(file), store=new.name)
    assert (found.messages, found.stored, found.floors, found.streams) == (7, 3, 1, 3)
    write_file(file, [*lines[1:], message(10, "c-1", 4)])
    with pytest.raises(MessageRefusedError, match="is at version 2, ") as caught:
        transfer.check(new.conn, FileSource(file), store=new.name)
    assert (caught.value.place, caught.value.sqlstate) == (10, "MS001")


@pytest.mark.parametrize("levels", [101, 5_000])
def test_what_is_nested_too_deep_is_refused_with_its_line(
    new: Place, file: Path, levels: int
) -> None:
    deep: list[Any] = []
    for _ in range(levels - 1):
        deep = [deep]
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        write_file(file, [message(1), message(2, data=deep)])
    finally:
        sys.setrecursionlimit(before)
    with pytest.raises((MessageRefusedError, FileRefusedError), match="line 3"):
        new.take(file)
    assert new.content() == []
