"""Sets have another order in each process; what is written of them has not."""

import os
import subprocess
import sys
from pathlib import Path

import pgstore

ROOT = Path(__file__).resolve().parent.parent.parent

# Sets wherever they can be, in each kind of class; texts have another hash in each process.
WRITER = """
import enum, dataclasses, sys
import attrs, msgspec, pydantic
import pgstore
from pgstore._core.metadata import metadata_text
from pgstore._core.codec import TypedCodec
from uuid import UUID

Color = enum.Enum("Color", {name: name for name in "abcdefgh"})
WORDS = set("one two three four five six seven".split())

class Point(msgspec.Struct, frozen=True):
    name: str
    tags: frozenset[str] = frozenset(WORDS)

class Struct(msgspec.Struct, rename="camel"):
    the_words: set[str]
    colors: dict[int, list[set[Color]]]
    points: tuple[frozenset[Point], int]
    mixed: set[int | str]
    sets: set[frozenset[str]]

class Row(msgspec.Struct, array_like=True, tag=True):
    words: set[str]

@dataclasses.dataclass
class Data:
    words: set[str]
    row: Row

@attrs.define
class Attrs:
    words: frozenset[str]

class Inner(pydantic.BaseModel):
    words: set[str] = pydantic.Field(alias="theWords")

class Model(pydantic.BaseModel):
    inner: dict[int, Inner]
    sets: frozenset[frozenset[str]]

class Root(pydantic.RootModel[list[set[str]]]):
    pass

class Bag:
    def __init__(self, words): self.words = words
    def __eq__(self, other): return self.words == other.words

class Hooked(msgspec.Struct):
    bag: Bag

    def get_message_id(self): return UUID(int=7)

TWO = {frozenset(["one", "two"]), frozenset(["three", "four"]), frozenset(WORDS)}
hooks = (lambda bag: {"words": bag.words}, lambda cls, value: Bag(set(value["words"])))
codec = TypedCodec(Struct | Row | Data | Attrs | Model | Root | Hooked, *hooks)
for message in (
    Struct(WORDS, {2: [set(Color)], 1: []},
           (frozenset({Point("x"), Point("y"), Point("z")}), 1), {1, 2, *WORDS}, TWO),
    Row(WORDS),
    Data(WORDS, Row(WORDS)),
    Attrs(frozenset(WORDS)),
    Model(inner={1: Inner(theWords=WORDS)}, sets=TWO),
    Root([WORDS, {"b", "a"}]),
    Hooked(Bag(WORDS)),
):
    print(*codec.encode(message))
print(metadata_text({"words": WORDS, "sets": [TWO, {1, *WORDS}]}))
_, conninfo, name = sys.argv
with pgstore.MessageStore(
    conninfo, store=name, messages=Hooked | Attrs, enc_hook=hooks[0], dec_hook=hooks[1]
) as store:
    print(store.write("a-1", Hooked(Bag(WORDS)), metadata={"words": WORDS}, expected_version=0))
"""


def test_a_write_that_another_process_repeats_is_the_same(conninfo: str, schema: str) -> None:
    printed = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", WRITER, conninfo, schema],
            env=os.environ | {"PYTHONHASHSEED": str(seed), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (1, 2, 3)
    ]
    assert printed[0].count("\n") == 9
    assert printed[1] == printed[0]
    assert printed[2] == printed[0]
    with pgstore.MessageStore(conninfo, store=schema, messages=pgstore.RawMessage) as store:
        assert store.stream_version("a-1") == 1
