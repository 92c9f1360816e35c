"""Without the extra, nothing of OpenTelemetry is imported, and nothing is paid for it."""

import subprocess
import sys

_LOADED = """
import sys
import pgstore
pgstore.MessageStore("host=localhost", messages=pgstore.RawMessage).close()
pgstore.AsyncMessageStore
print(*[name for name in sys.modules if "otel" in name or "opentelemetry" in name])
"""

_WRITE_PATH = """
import pgstore, pgstore.otel
from pgstore._async.writer import AsyncWriter
from pgstore._sync.writer import Writer
watched, other = [pgstore.MessageStore("host=localhost", messages=pgstore.RawMessage) for _ in "12"]
pgstore.otel.instrument(watched)
assert watched.write.__func__ is not Writer.write
for cls, source in ((pgstore.MessageStore, Writer), (pgstore.AsyncMessageStore, AsyncWriter)):
    for name in ("write", "write_many", "synchronize"):
        assert getattr(cls, name) is vars(source)[name]
        assert not hasattr(vars(source)[name], "__wrapped__")
assert type(other) is pgstore.MessageStore
assert not [name for name in vars(other) if callable(vars(other)[name])]
"""

_MISSING = """
import sys
sys.modules["opentelemetry"] = None
import pgstore.otel
"""


def ran(program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_pgstore_imports_nothing_of_it() -> None:
    done = ran(_LOADED)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def test_writes_of_other_stores_go_through_nothing_of_it() -> None:
    done = ran(_WRITE_PATH)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_it_the_error_says_what_to_install() -> None:
    done = ran(_MISSING)
    assert done.returncode == 1
    assert "pip install 'pgstore[otel]'" in done.stderr
