"""The pytest plugin, in sessions of its own."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs/guides/testing.md"

pytest_plugins = ["pytester"]

# Installed or not, it is loaded once.
PLUGINS = ["-p", "pgstore.pytest_plugin", "-p", "pytest_asyncio.plugin", "-p", "xdist.plugin"]

INI = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""

STORE = """
import msgspec, pgstore, pytest, sys

class Event(msgspec.Struct):
    num: int

@pytest.fixture
def store(pgstore_fresh):
    with pgstore.MessageStore[Event](
        pgstore_fresh.pool, store=pgstore_fresh.name, messages=Event
    ) as store:
        yield store
"""


@pytest.fixture
def session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder for a test module, and no server that is named."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("PGSTORE_TEST_CONNINFO", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER"):
        monkeypatch.delenv(name, raising=False)
    pytester.makeini(INI)
    return pytester


def run(session: pytest.Pytester, *arguments: str, **outcomes: int) -> pytest.RunResult:
    result = session.runpytest_subprocess(*PLUGINS, *arguments, timeout=120)
    result.assert_outcomes(**outcomes)
    return result


def test_plugin_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == {"pytest11": {"pgstore": "pgstore.pytest_plugin"}}


def test_session_that_does_not_use_it_imports_nothing(session: pytest.Pytester) -> None:
    session.makepyfile(
        """
        import sys

        def test_modules():
            ours = {name for name in sys.modules if name.startswith("pgstore")}
            assert ours == {"pgstore", "pgstore.pytest_plugin"}
            assert {"psycopg", "msgspec"} & set(sys.modules) == set()
        """
    )
    run(session, passed=1)


def test_testing_needs_no_pytest() -> None:
    script = "import sys; sys.modules['pytest'] = None; import pgstore.testing"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_embedded_server_lasts_for_the_session(session: pytest.Pytester) -> None:
    session.makepyfile(
        STORE
        + """
seen = []

@pytest.mark.parametrize("n", range(3))
def test_first(store, pgstore_conninfo, n):
    seen.append(pgstore_conninfo)
    assert store.write("event-1", Event(1)).global_position == 1
    assert len(set(seen)) == 1

def test_end(pgstore_conninfo, pgstore_stores, tmp_path):
    import pathlib, psycopg
    folder = psycopg.conninfo.conninfo_to_dict(pgstore_conninfo)["host"]
    pathlib.Path("folder").write_text(str(pathlib.Path(folder).resolve()))
"""
    )
    run(session, passed=4)
    folder = Path((session.path / "folder").read_text())
    assert str(folder).startswith("/")
    assert not folder.exists()


@pytest.mark.parametrize("way", ["option", "environment", "setting"])
def test_server_is_named(
    session: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, conninfo: str, way: str
) -> None:
    session.makepyfile(
        f"""
        def test_conninfo(pgstore_conninfo, pgstore_fresh):
            assert pgstore_conninfo == {conninfo!r}
        """
    )
    arguments = []
    if way == "option":
        arguments = ["--pgstore-conninfo", conninfo]
        monkeypatch.setenv("PGSTORE_TEST_CONNINFO", "host=/nonexistent")
    elif way == "environment":
        monkeypatch.setenv("PGSTORE_TEST_CONNINFO", conninfo)
    else:
        session.makeini(f"{INI}pgstore_conninfo = {conninfo}\n")
    run(session, *arguments, passed=1)


def test_server_of_another_fixture(session: pytest.Pytester, conninfo: str) -> None:
    """As pytest-postgresql's is, which the page uses."""
    (block,) = re.findall(
        r"```python\n(@pytest.fixture\(scope=.session.\)\n.*?)```", PAGE.read_text(), re.DOTALL
    )
    server = conninfo_to_dict(conninfo)
    session.makeconftest(
        f"""
import psycopg, pytest
from types import SimpleNamespace

@pytest.fixture(scope="session")
def postgresql_proc():
    return SimpleNamespace(
        host={server["host"]!r}, port={server["port"]!r}, user={server["user"]!r}
    )

{block}
"""
    )
    session.makepyfile(STORE + "def test_write(store): store.write('event-1', Event(1))")
    run(session, passed=1)


@pytest.mark.parametrize("processes", ["0", "3"])
def test_tests_are_isolated_in_parallel_too(
    session: pytest.Pytester, conninfo: str, processes: str
) -> None:
    session.makepyfile(
        STORE
        + """
@pytest.mark.parametrize("n", range(20))
def test_alone(store, n):
    assert list(store.read_all()) == []
    subscription = store.subscription("s")
    seen = []

    @subscription.handler
    def on_event(event: Event) -> None:
        seen.append(event.num)

    for num in range(n):
        assert store.write("event-1", Event(num)).global_position == num + 1
    store.run_once(subscription)
    assert seen == list(range(n))
"""
    )
    run(session, "-n", processes, "--pgstore-conninfo", conninfo, passed=20)


def test_async_tests_have_stores_of_their_own(session: pytest.Pytester, conninfo: str) -> None:
    session.makepyfile(
        STORE
        + """
@pytest.fixture
async def astore(pgstore_fresh):
    async with pgstore.AsyncMessageStore[Event](
        pgstore_fresh.conninfo, store=pgstore_fresh.name, messages=Event
    ) as store:
        yield store

@pytest.mark.parametrize("n", range(3))
async def test_alone(astore, n, pgstore_frozen_ids):
    assert (await astore.write("event-1", Event(n))).global_position == 1
    (stored,) = [each async for each in astore.read_all()]
    assert str(stored.message_id) == "00dc6acf-ac00-7000-8000-000000000000"
"""
    )
    run(session, "--pgstore-conninfo", conninfo, passed=3)


def test_stores_are_dropped_at_the_end(session: pytest.Pytester, conninfo: str) -> None:
    session.makepyfile(
        """
        def test_two(pgstore_fresh, pgstore_stores):
            with pgstore_stores.taken() as other, open("names", "w") as names:
                print(pgstore_fresh.name, other.name, file=names)
        """
    )
    run(session, "--pgstore-conninfo", conninfo, passed=1)
    one, two = (session.path / "names").read_text().split()
    with psycopg.connect(conninfo) as conn:
        query = "SELECT to_regnamespace(%s), to_regnamespace(%s)"
        assert conn.execute(query, [one, two]).fetchall() == [(None, None)]


def test_failure_shows_the_fields_and_the_line_of_the_test(session: pytest.Pytester) -> None:
    session.makepyfile(
        """
        import msgspec, pgstore
        from pgstore.testing import given

        class Event(msgspec.Struct):
            num: int

        store = pgstore.MessageStore[Event](messages=Event)
        sums = store.decider(lambda state, event: event, Event, initial=lambda: Event(0))

        def add(event, num):
            return [Event(num), Event(event.num + num)]

        def test_add():
            given(sums, Event(1)).when(add, 2).then(Event(2), Event(4))
        """
    )
    result = run(session, failed=1)
    result.stdout.fnmatch_lines(
        [
            ">       given(sums, Event(1)).when(add, 2).then(Event(2), Event(4))",
            "E       AssertionError: add: not the expected messages",
            "E           Event(num=2)",
            "E         ! Event(num=3)",
            "E             num: 3, expected 4",
            "*test_failure*.py:*: AssertionError",
        ],
    )
    assert "outcomes.py" not in result.stdout.str()


def test_missing_embedded_server_is_told_with_the_remedy(session: pytest.Pytester) -> None:
    session.makeconftest(
        "import pathlib, pgstore.embedded.server as server\nserver.find_spec = lambda name: None\n"
    )
    session.makepyfile("def test_store(pgstore_fresh): ...")
    result = run(session, errors=1)
    result.stdout.fnmatch_lines(["*pip install 'pgstore?embedded?'*", "*--pgstore-conninfo*"])


def test_page_is_a_test_module(session: pytest.Pytester, conninfo: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    module = "\n\n".join(block for block in blocks if "postgresql_proc" not in block)
    session.makepyfile(module)
    result = session.runpytest_subprocess(*PLUGINS, "--pgstore-conninfo", conninfo, timeout=120)
    assert result.parseoutcomes() == {"passed": len(re.findall(r"def test_", module))}


def test_server_that_cannot_be_had_is_told_with_the_places_that_name_it(
    session: pytest.Pytester,
) -> None:
    session.makepyfile("def test_store(pgstore_fresh): ...")
    for wrong in ("nonsense", "host=/nonexistent"):
        result = run(session, f"--pgstore-conninfo={wrong}", errors=1)
        result.stdout.fnmatch_lines(["*--pgstore-conninfo*PGSTORE_TEST_CONNINFO*"])
