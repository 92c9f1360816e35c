"""Flame graphs that are made of sampled stacks."""

import xml.etree.ElementTree as ElementTree

from benchmarks.flames import WIDTH, flame_graph, kind, readable, shares, tree

SVG = "{http://www.w3.org/2000/svg}"
STACKS = [
    "main (run.py:1);Store.write (/a/pgstore/_sync/store.py:10);execute (x/psycopg/cursor.py:1) 6",
    "main (run.py:1);Store.write (/a/pgstore/_sync/store.py:12);execute (x/psycopg/cursor.py:2) 2",
    "main (run.py:1);Store.write (/a/b/pgstore/_sync/store.py:14) 2",
    "other (thread.py:1);sleep (time.py:1) 90",
]


def test_stacks_are_joined_by_function_from_the_one_that_is_named() -> None:
    root = tree(STACKS, under="write")
    assert root.samples == 10
    (write,) = root.above.values()
    assert [each.samples for each in write.above.values()] == [8]
    assert shares(root) == {"execute (psycopg/cursor.py)": 0.8, "Store.write (_sync/store.py)": 0.2}


def test_a_frame_tells_the_end_of_its_path_only() -> None:
    assert readable("write (/root/venv/pgstore/store.py:17)") == "write (pgstore/store.py)"
    assert readable("<module>") == "<module>"


def test_waiting_is_told_from_working() -> None:
    assert kind("Connection.wait (psycopg/connection.py)") == "wait"
    assert kind("Cursor.execute (psycopg/cursor.py)") == "driver"
    assert kind("ready (_compat/sockets.py)") == "wait"
    assert kind("Reader._stored (_sync/reader.py)") == "ours"
    assert kind("TypedCodec.decode (_core/codec.py)") == "ours"
    assert kind("uuid4 (uuid.py)") == "other"


def test_a_flame_graph_is_xml_and_widths_are_shares() -> None:
    drawn = ElementTree.fromstring(flame_graph("Title <x>", "note", tree(STACKS, under="write")))
    frames = drawn.findall(f"{SVG}g")
    titles = [frame.findtext(f"{SVG}title") for frame in frames]
    assert titles == ["Store.write (_sync/store.py): 100.0%", "execute (psycopg/cursor.py): 80.0%"]
    widths = [float(rect.attrib["width"]) for rect in drawn.findall(f"{SVG}g/{SVG}rect")]
    assert abs(widths[1] / widths[0] - 0.8) < 0.01
    assert all(0 < width < WIDTH for width in widths)
