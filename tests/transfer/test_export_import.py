"""What is exported comes back as it was."""

import gzip
import json
import os
import threading
import time
from pathlib import Path

import psycopg
import pytest

from pgstore import transfer
from pgstore.errors import InvalidArgumentError
from tests.transfer.conftest import ODD_STREAMS, Place, fill


@pytest.mark.parametrize("name", ["store.jsonl", "store.jsonl.gz"])
def test_import_into_an_empty_store_gives_the_same_store(
    old: Place, new: Place, tmp_path: Path, name: str
) -> None:
    fill(old)
    exported = old.export(tmp_path / name)
    imported = new.take(tmp_path / name)
    assert exported.messages == imported.imported == 3 * len(ODD_STREAMS)
    assert imported.positions_kept
    assert new.content() == old.content()
    assert new.wrong() == {}
    if name.endswith(".gz"):
        assert gzip.decompress((tmp_path / name).read_bytes())[:17] == b'{"pgstore_export"'
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_pages_and_batches_are_joined(
    old: Place, new: Place, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(old, 5)
    monkeypatch.setattr("pgstore.transfer.exporting.PAGE", 7)
    told: list[int] = []
    old.export(file, on_progress=lambda messages, _: told.append(messages))
    assert told == [7, 14, 21, 28, 35, 40]
    counts: list[int] = []
    new.take(file, batch_messages=3, on_progress=counts.append)
    assert counts[-1] == 40
    assert len(counts) == 14
    assert new.content() == old.content()
    for stream in ("account-1", "line\nbreak\t-\r1"):
        old.export(file, stream=stream)
        assert [line["version"] for line in _messages(file)] == [1, 2, 3, 4, 5]


def test_an_import_changes_no_setting_of_its_session(old: Place, new: Place, file: Path) -> None:
    """Behind a pooler the session is another client's between two batches."""
    fill(old)
    old.export(file)
    found: list[object] = []
    new.take(
        file,
        batch_messages=3,
        on_progress=lambda _: found.append(new.value("SHOW synchronous_commit")),
    )
    assert set(found) == {"on"}


@pytest.mark.parametrize("table", ["messages", "streams"])
def test_an_import_waits_for_the_disk_before_others_see_its_messages(
    new: Place, old: Place, file: Path, table: str
) -> None:
    """A crash would take back what a reader or a decision has seen, and give its position again."""
    old.write("a-1")
    old.write("a-1")
    old.query("SELECT STORE.truncate_stream('a-1', before_version => 2)")
    old.export(file)
    new.query("CREATE TABLE STORE.noted (value text)")
    new.query(
        "CREATE FUNCTION STORE.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO STORE.noted VALUES (current_setting('synchronous_commit')); RETURN NULL;"
        " END $$"
    )
    new.query(
        f"CREATE TRIGGER note AFTER INSERT OR UPDATE ON STORE.{table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION STORE.note()"
    )
    new.take(file)
    assert new.query("SELECT DISTINCT value FROM STORE.noted") == [("on",)]


def test_writing_goes_on_after_the_imported_positions(old: Place, new: Place, file: Path) -> None:
    fill(old)
    last = old.content()[-1][2]
    old.export(file)
    new.take(file)
    assert new.value("SELECT STORE.safe_position()") == last
    assert new.write("account-1", expected_version=3) == last + 1
    assert new.write("other-1") == last + 2
    assert new.wrong() == {}


def test_readers_get_what_is_imported(old: Place, new: Place, file: Path) -> None:
    new.query("SELECT STORE.create_subscription('all')")
    new.query("SELECT STORE.claim_partition('{all}', worker => 'me')")
    fill(old)
    old.export(file)
    new.take(file)
    new.query("SELECT STORE.claim_partition('{all}', worker => 'me')")
    count = "SELECT count(*) FROM STORE.read_all() AS r"
    assert new.value(count) == 3 * len(ODD_STREAMS)


def test_export_of_a_category_and_of_a_stream(old: Place, new: Place, file: Path) -> None:
    for number in (1, 2):
        old.write(f"a-{number}")
        old.write(f"b-{number}")
        old.write("a-1")
    assert old.export(file, category="a").messages == 4
    assert new.take(file).imported == 4
    assert new.content() == [row for row in old.content() if row[0].startswith("a-")]
    assert old.export(file, stream="b-2").messages == 1
    assert old.export(file, stream="b-3").messages == 0
    assert old.export(file, category="c").messages == 0
    with pytest.raises(InvalidArgumentError):
        old.export(file, category="c", stream="c-1")


def test_what_comes_after_can_be_exported_and_imported_later(
    old: Place, new: Place, file: Path
) -> None:
    fill(old, 1)
    first = old.export(file)
    new.take(file)
    fill(old, 2)
    second = old.export(file, after=first.up_to_position)
    assert second.after_position == first.up_to_position
    assert second.messages == 2 * len(ODD_STREAMS)
    assert new.take(file, positions="keep").positions_kept
    assert new.content() == old.content()
    empty = old.export(file, after=second.up_to_position)
    assert (empty.messages, empty.up_to_position) == (0, second.up_to_position)
    assert new.take(file) == transfer.Imported(0, 0, 0, False)


def test_import_into_a_store_in_use_gives_new_positions(old: Place, new: Place, file: Path) -> None:
    fill(old)
    old.export(file)
    new.write("mine-1")
    new.write("mine-1")
    imported = new.take(file)
    assert not imported.positions_kept
    mine, rest = new.content()[:2], new.content()[2:]
    assert [row[:2] for row in mine] == [("mine-1", 1), ("mine-1", 2)]
    assert [(*row[:2], *row[3:]) for row in rest] == [(*row[:2], *row[3:]) for row in old.content()]
    assert [row[2] for row in rest] == list(range(3, 3 + len(rest)))
    assert new.wrong() == {}


def test_repeated_import_skips_what_is_there(old: Place, new: Place, file: Path) -> None:
    fill(old)
    old.export(file)
    new.take(file)
    before = new.content()
    again = new.take(file)
    assert (again.imported, again.skipped) == (0, len(before))
    assert new.content() == before


def test_import_goes_on_where_it_was_interrupted(old: Place, new: Place, file: Path) -> None:
    fill(old, 5)
    old.export(file)

    def interrupt(messages: int) -> None:
        if messages >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        new.take(file, batch_messages=5, on_progress=interrupt)
    assert len(new.content()) == 10
    assert new.wrong() == {}
    # Other batches: one of them is half there.
    done = new.take(file, batch_messages=7)
    assert (done.imported, done.skipped, done.positions_kept) == (30, 10, True)
    assert new.content() == old.content()


def test_floors_of_streams_are_kept(old: Place, new: Place, file: Path) -> None:
    for _ in range(4):
        old.write("cut-1")
        old.write("gone-1")
    old.query("DELETE FROM STORE.messages AS m WHERE m.version <= 2")
    old.query("UPDATE STORE.streams AS s SET floor = 2")
    old.query(
        "DELETE FROM STORE.messages AS m USING STORE.streams AS s"
        " WHERE s.stream_id = m.stream_id AND s.stream = 'gone-1'"
    )
    old.query("UPDATE STORE.streams AS s SET floor = 4 WHERE s.stream = 'gone-1'")
    assert old.export(file).floors == 2
    assert new.take(file).floors == 2
    assert new.content() == old.content()
    floors = "SELECT s.stream, s.floor FROM STORE.streams AS s ORDER BY s.stream"
    assert new.query(floors) == old.query(floors) == [("cut-1", 2), ("gone-1", 4)]
    assert new.wrong() == {}
    assert new.take(file) == transfer.Imported(0, 2, 0, True)


def test_snapshots_of_streams_that_were_cut_off_are_brought_along_by_hand(
    old: Place, new: Place, file: Path
) -> None:
    """They are no part of a file. The statement is that of docs/operations/export-import.md."""
    for _ in range(3):
        old.write("cut-1")
        old.write("whole-1")
    for stream in ("cut-1", "whole-1"):
        old.query("SELECT STORE.save_snapshot(%s, 's', 1, 2, '{\"sum\": 7}', 0)", stream)
    old.query("SELECT STORE.truncate_stream('cut-1', 2)")
    old.export(file)
    new.take(file)
    assert new.query("SELECT FROM STORE.snapshots") == []
    load = "SELECT version, data FROM STORE.load_stream(%s, 's', 1)"
    assert new.query(load, "whole-1")[0] == (0, None)
    with pytest.raises(psycopg.Error) as caught:
        new.query(load, "cut-1")
    assert caught.value.sqlstate == "MS008"

    copied = new.query(
        "SELECT s.stream, STORE.save_snapshot("
        "s.stream, n.snapshot, n.code_version, n.version, n.state, changes => 0)"
        f" FROM {old.name}.snapshots AS n JOIN {old.name}.streams AS s USING (stream_id)"
        " WHERE s.floor > 0"
    )
    assert copied == [("cut-1", True)]
    assert new.query(load, "cut-1") == old.query(load, "cut-1")
    assert new.wrong() == {}


def test_file_is_utf_8_whatever_the_connection_is(old: Place, file: Path, conninfo: str) -> None:
    old.write("konto €-1", '"ä €"')
    with psycopg.connect(conninfo, autocommit=True, client_encoding="latin1") as conn:
        done = transfer.export_file(conn, file, store=old.name, category="konto €", overwrite=True)
        assert conn.info.encoding == "iso8859-1"
    assert done.messages == 1
    assert [line["data"] for line in _messages(file)] == ["ä €"]


def test_pipes_are_written_to_and_read_from(old: Place, new: Place, tmp_path: Path) -> None:
    """As the shell makes them of >(…) and <(…)."""
    fill(old)
    pipe = tmp_path / "pipe.jsonl.gz"
    os.mkfifo(pipe)
    written: list[transfer.Exported] = []
    writer = threading.Thread(target=lambda: written.append(old.export(pipe)))
    writer.start()
    assert new.take(pipe).imported == 24
    writer.join()
    assert [done.messages for done in written] == [24]
    assert new.content() == old.content()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe.jsonl.gz"]
    assert pipe.is_fifo()


def test_export_waits_for_nothing_and_skips_nothing(
    old: Place, new: Place, file: Path, conninfo: str
) -> None:
    old.write("a-1")
    with psycopg.connect(conninfo) as writer:
        writer.execute(f"SELECT FROM {old.name}.write_message('b-1', 'A', '1')".encode())
        old.write("c-1")
        first = old.export(file)
        # c-1 is after one in flight: it belongs to the next export.
        assert first.messages == 1
    new.take(file)
    old.export(file, after=first.up_to_position)
    new.take(file, positions="keep")
    assert new.content() == old.content()


def test_export_is_the_store_at_one_moment(
    old: Place, file: Path, monkeypatch: pytest.MonkeyPatch, conninfo: str
) -> None:
    fill(old)
    monkeypatch.setattr("pgstore.transfer.exporting.PAGE", 2)
    expected = [row[:2] for row in old.content()]

    def delete(messages: int, _: int) -> None:
        if messages == 2:
            with psycopg.connect(conninfo, autocommit=True) as other:
                other.execute(f"DELETE FROM {old.name}.messages".encode())

    old.export(file, on_progress=delete)
    assert [(line["stream"], line["version"]) for line in _messages(file)] == expected
    assert old.content() == []


def test_writers_go_on_while_messages_are_imported(
    old: Place, new: Place, file: Path, conninfo: str
) -> None:
    fill(old, 20)
    old.export(file)
    stop = threading.Event()
    written: list[int] = []
    failed: list[BaseException] = []

    def write(name: str) -> None:
        try:
            with psycopg.connect(conninfo, autocommit=True) as conn:
                while not stop.is_set():
                    cursor = conn.execute(
                        f"SELECT version FROM {new.name}.write_message(%s, 'W', '1')".encode(),
                        [name],
                    )
                    written.extend(row[0] for row in cursor)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=[f"writer-{n}"]) for n in range(3)]
    for thread in threads:
        thread.start()
    while not written:
        time.sleep(0.005)
    imported = new.take(file, batch_messages=5)
    stop.set()
    for thread in threads:
        thread.join()
    assert failed == []
    assert imported.imported == 20 * len(ODD_STREAMS)
    assert len(new.content()) == imported.imported + len(written)
    assert new.wrong() == {}


def _messages(file: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in file.read_bytes().split(b"\n") if line]
    return [line for line in lines if "data" in line]


def test_what_is_nested_as_deep_as_can_be_written_comes_back(
    old: Place, new: Place, file: Path
) -> None:
    old.write("account-1", "[" * 100 + "]" * 100, metadata='{"a": %s}' % ("[" * 99 + "]" * 99))
    old.export(file)
    new.take(file)
    assert new.content() == old.content()
