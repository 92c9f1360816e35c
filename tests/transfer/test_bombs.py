"""What is read is bounded, whatever a file unpacks to: peak memory of a process of its own."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from pgstore import transfer
from pgstore._core.files import MAX_BYTES
from pgstore.transfer import FileRefusedError, MessageRefusedError
from pgstore.transfer._format import Lines
from tests.cli.terminal import PROGRAM, clean
from tests.transfer.conftest import Place
from tests.transfer.test_killed import ROOT
from tests.transfer.test_refused import message, write_file

# ,"crc32":"01234567"} without the end of the line.
CRC = 20

# What the process needs without anything to read, and two lines of the longest.
_MOST = 100 * 2**20 + 2 * MAX_BYTES

# A process begins with the peak of the one that has started it: not with that of all these tests.
APART = ("sh", "-c", '"$@"; exit $?', "sh")

MEASURED = """
import json, resource, sys
from pgstore.__main__ import main
code = main(sys.argv[1:])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
peak *= 1 if sys.platform == "darwin" else 1024
print(json.dumps([code, peak]), file=sys.stderr)
"""


def measured(*arguments: str, stdin: Path | None = None) -> tuple[int, int, str]:
    """A command's exit code, its peak memory in bytes, and what it said."""
    with (stdin or Path("/dev/null")).open("rb") as given:
        done = subprocess.run(
            [*APART, sys.executable, "-c", MEASURED, *arguments],
            stdin=given, capture_output=True, text=True, env=clean({}), cwd=ROOT, timeout=120,
        )  # fmt: skip
    said, _, last = done.stderr.rstrip().rpartition("\n")
    code, peak = json.loads(last)
    return code, peak, said


def bomb(path: Path, blocks: int) -> None:
    """An export, checksums and all, with a message of so many times 64 MB."""
    write_file(plain := path.with_suffix(""), [message(1), message(2, data="@")])
    before, after = plain.read_bytes().split(b"@")
    block = b"x" * 2**26
    packed = gzip.compress(block)
    total = crc32(before)
    for _ in range(blocks):
        total = crc32(block, total)
    start, rest = after[: -CRC - 1].rpartition(b"\n")[::2]  # the message's, and the last line
    lines = []
    for text in (start[:-CRC], rest):
        total = crc32(text, total)
        end = b',"crc32":"%08x"}\n' % total
        total = crc32(end, total)
        lines += [text, end]
    # A gzip file may have several members.
    path.write_bytes(gzip.compress(before) + packed * blocks + gzip.compress(b"".join(lines)))


def test_a_line_may_be_as_long_as_any_number_says(old: Place, new: Place, file: Path) -> None:
    old.write("a-1")
    old.export(file)
    source = transfer.FileSource(file, max_bytes=2**63 - 1)
    assert transfer.import_from(new.conn, source, store=new.name).imported == 1


def test_line_of_3_gb_in_a_small_file_is_refused_with_its_number(
    new: Place, tmp_path: Path
) -> None:
    bomb(path := tmp_path / "bomb.jsonl.gz", 48)
    assert path.stat().st_size < 4 * 2**20
    code, peak, said = measured(
        "import", str(path), "--conninfo", new.conninfo, "--store", new.name
    )
    assert code == 1
    assert said.startswith(f"error: line 3: longer than {MAX_BYTES} bytes\nhint: ")
    assert peak < _MOST
    assert new.content() == []  # nor the line before it


def test_device_that_never_ends_is_refused(new: Place) -> None:
    place = ("--conninfo", new.conninfo, "--store", new.name)
    code, peak, said = measured("import", "/dev/zero", *place)
    assert (code, said.splitlines()[0]) == (1, f"error: line 1: longer than {MAX_BYTES} bytes")
    assert peak < _MOST
    code, peak, said = measured("import", "-", "--dry-run", *place, stdin=Path("/dev/zero"))
    assert (code, said.splitlines()[0]) == (1, f"error: line 1: longer than {MAX_BYTES} bytes")
    assert peak < _MOST


@pytest.mark.parametrize("arguments", [("a-1", "A", "-"), ("a-1", "A", "@/dev/zero")])
def test_writing_what_never_ends_is_refused(new: Place, arguments: tuple[str, ...]) -> None:
    code, _, said = measured(
        "write",
        *arguments,
        "--conninfo",
        new.conninfo,
        "--store",
        new.name,
        stdin=Path("/dev/zero"),
    )
    assert (code, said.partition(": more than ")[1]) == (1, ": more than ")


def test_longer_lines_are_read_if_the_caller_says_so(new: Place, file: Path) -> None:
    write_file(file, [message(1), message(2, data="x" * 1000)])
    source = transfer.FileSource(file, max_bytes=900)
    with pytest.raises(FileRefusedError) as caught:
        transfer.check(new.conn, source, store=new.name)
    assert (caught.value.line, caught.value.hint is not None) == (3, True)
    command = [
        *PROGRAM,
        "import",
        str(file),
        "--conninfo",
        new.conninfo,
        "--store",
        new.name,
        "--max-bytes",
    ]
    assert subprocess.run([*command, "900"], env=clean({}), capture_output=True).returncode == 1
    subprocess.run([*command, "2000"], env=clean({}), capture_output=True, check=True)
    assert len(new.content()) == 2


def nested(depth: int) -> Any:
    """A text that is written as it is: json of Python nests no deeper than it counts."""
    return '[{"\\"]": ' * depth + '"}"' + "}]" * depth


def test_payload_is_imported_as_deeply_nested_as_it_was_exported(
    old: Place, new: Place, file: Path
) -> None:
    for depth in (1, 20, 49):  # two levels each: a write takes 100
        old.write("a-1", nested(depth), metadata=f'{{"a": {nested(depth)}, "b": 1}}')
        old.write("a-1", f"[{depth}]")
    old.export(file)
    assert transfer.check(new.conn, transfer.FileSource(file), store=new.name).messages == 6
    new.take(file)
    assert new.content() == old.content()


@pytest.mark.parametrize("brackets", ["[]", '{"a":}'])
@pytest.mark.parametrize("closed", [True, False])
def test_nesting_that_the_server_refuses_is_told_with_its_line(
    new: Place, file: Path, brackets: str, closed: bool
) -> None:
    depth = 100_000
    data = brackets[:-1] * depth + "1" + brackets[-1] * depth * closed
    write_file(file, [message(1), message(2, data="@"), message(3)])
    written = Lines()
    file.write_bytes(
        b"".join(
            written.line(line[:-CRC].replace(b'"@"', data.encode()) + b"}")
            for line in file.read_bytes().splitlines()
        )
    )
    with pytest.raises((FileRefusedError, MessageRefusedError)) as caught:
        new.take(file)
    assert str(caught.value).startswith("line 3: ")
    assert new.content() == []
