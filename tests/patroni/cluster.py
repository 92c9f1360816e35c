"""Three nodes of Patroni and etcd on the loopback interface, by the files that the docs show.

Each file is used as it is, but for names: addresses, folders and the account differ.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import psycopg
from psycopg.conninfo import make_conninfo

from pgstore.embedded import account, postmaster
from tests.patroni.packages import PATH, newest

HERE = Path(__file__).parent
NAMES = ("a", "b", "c")
_PATIENCE = 90.0

# Roles of members; later versions of Patroni have other words.
_LEADERS = ("leader", "primary", "master")
_IN_STEP = ("sync_standby", "quorum_standby")


class Cluster:
    """A running cluster; `conninfo` names all of its nodes, and leads to the primary."""

    def __init__(self, folder: Path, *, synchronous: bool = True) -> None:
        self._folder = folder
        self._ports = dict(zip(_port_names(), _free_ports(4 * len(NAMES)), strict=True))
        self._synchronous = synchronous
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._bin = newest()
        ports = [str(self._ports[name, "5432"]) for name in NAMES]
        self.conninfo = make_conninfo(
            host=",".join(["127.0.0.1"] * len(NAMES)),
            port=",".join(ports),
            user="postgres",
            password="change-me",
            dbname="postgres",
            target_session_attrs="read-write",
        )

    @classmethod
    @contextmanager
    def running(cls, *, synchronous: bool = True) -> Iterator[Self]:
        folder = account.temporary_folder()
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            cluster = cls(folder, synchronous=synchronous)
            stack.callback(cluster.end)
            cluster.start()
            yield cluster

    def start(self) -> None:
        for name in NAMES:
            self._start_etcd(name)
        for name in NAMES:
            self.start_node(name)
        self.wait_for_members()

    def end(self) -> None:
        for name in NAMES:
            with suppress(KeyError):
                self.vanish(name)
        for process in self._processes.values():
            process.kill()
            process.wait()

    def start_proxy(self) -> str:
        """Start a proxy that asks Patroni for the primary; a connection string that leads to it."""
        (port,) = _free_ports(1)
        text = (HERE / "haproxy.cfg").read_text().replace("0.0.0.0:5000", f"127.0.0.1:{port}")
        for name in NAMES:
            place, asked = (f"127.0.0.1:{self._ports[name, each]}" for each in ("5432", "8008"))
            text = text.replace(
                f"{name}.example:5432 check port 8008", f"{place} check addr {asked}"
            )
        file = self._folder / "haproxy.cfg"
        file.write_text(text.replace(" check addr 127.0.0.1:", " check addr 127.0.0.1 port "))
        self._run("haproxy", ["haproxy", "-db", "-f", str(file)], {})
        through = make_conninfo(self.conninfo, host="127.0.0.1", port=port)
        end = time.monotonic() + _PATIENCE
        log = self._folder / "haproxy.log"
        # It takes all for the primary until it has asked them.
        while log.read_text().count("is DOWN") < len(NAMES) - 1 or not _can_be_written_to(through):
            assert time.monotonic() < end, self._logs()
            time.sleep(0.05)
        return through

    def start_node(self, name: str) -> None:
        """Start a node's Patroni, which starts its PostgreSQL."""
        folder = self._node_folder(name)
        environment = self._environment("node.env", name) | {
            "PATRONI_POSTGRESQL_BIN_DIR": str(self._bin),
            "PATRONI_POSTGRESQL_DATA_DIR": str(folder / "data"),
            "PATRONI_POSTGRESQL_PGPASS": str(folder / "pgpass"),
            # Of the scripts: the socket is where it is by default there.
            "PGHOST": str(folder),
            "PGPORT": str(self._ports[name, "5432"]),
        }
        self._run(name, ["patroni", str(folder / "patroni.yml")], environment)

    def crash(self, name: str) -> None:
        """Kill PostgreSQL; Patroni lives."""
        process = postmaster.running_process(self._node_folder(name) / "data")
        if process is not None:
            os.kill(process, signal.SIGKILL)

    def vanish(self, name: str) -> None:
        """Kill Patroni and PostgreSQL, as a node that loses its power."""
        patroni = self._processes.pop(name)
        patroni.kill()
        with suppress(ProcessLookupError):
            self.crash(name)
        patroni.wait()

    def switch_over(self, name: str) -> None:
        """Have another node take over, as for maintenance."""
        self._post(name, "/switchover", {"leader": name})

    def patronictl(self, *words: str) -> str:
        """What Patroni's command prints, with the files of a node."""
        command = ["patronictl", "-c", str(self._node_folder(NAMES[0]) / "patroni.yml"), *words]
        environment = {"PATH": PATH, "LANG": "C.UTF-8", **self._environment("node.env", NAMES[0])}
        return subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=60
        ).stdout

    def wait_for_another(self, than: str) -> float:
        """Wait until another node can be written to; how long it took."""
        begun = time.monotonic()
        old = str(self._ports[than, "5432"])
        while True:
            with suppress(psycopg.Error), psycopg.connect(self.conninfo, connect_timeout=2) as conn:
                if str(conn.info.port) != old:
                    return time.monotonic() - begun
            assert time.monotonic() < begun + _PATIENCE, self._logs()
            time.sleep(0.01)

    def wait_for_members(self) -> str:
        """Wait until all nodes are in step and the primary lets writers in; the primary's name."""
        end = time.monotonic() + _PATIENCE
        while True:
            members = self._members()
            healthy = [each for each in members if each["state"] in ("running", "streaming")]
            leaders = [each["name"] for each in healthy if each["role"] in _LEADERS]
            in_step = [each for each in healthy if each["role"] in _IN_STEP]
            if (
                len(healthy) == len(NAMES)
                and leaders
                and all(each.get("lag", 0) == 0 for each in healthy)
                and (in_step or not self._synchronous)
                and _can_be_written_to(self.conninfo)
            ):
                return str(leaders[0])
            assert time.monotonic() < end, (members, self._logs())
            time.sleep(0.1)

    def _members(self) -> list[dict[str, Any]]:
        for name in NAMES:
            url = f"http://127.0.0.1:{self._ports[name, '8008']}/cluster"
            with (
                suppress(OSError, json.JSONDecodeError),
                urllib.request.urlopen(url, timeout=2) as answer,
            ):
                members: list[dict[str, Any]] = json.load(answer)["members"]
                return members
        return []

    def _post(self, name: str, path: str, values: Mapping[str, str]) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._ports[name, '8008']}{path}",
            data=json.dumps(values).encode(),
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=_PATIENCE).close()

    def _start_etcd(self, name: str) -> None:
        folder = self._node_folder(name)
        folder.mkdir(mode=0o711)
        for each in ("patroni.yml", "hold_writers", "let_writers_in"):
            (folder / each).write_text(self._adapted((HERE / each).read_text(), folder))
            (folder / each).chmod(0o755)
        account.hand_over(folder)
        environment = self._environment("etcd.env", name) | {
            "ETCD_DATA_DIR": str(folder / "etcd"),
            "ETCD_UNSAFE_NO_FSYNC": "true",  # the machine does not lose its power here
        }
        self._run(f"etcd-{name}", ["etcd"], environment)

    def _adapted(self, text: str, folder: Path) -> str:
        for before, after in {
            "/etc/patroni": str(folder),
            "/var/run/postgresql": str(folder),
            "local all postgres peer": "local all postgres trust",
            "loop_wait: 5": "loop_wait: 1",
            **({} if self._synchronous else {"synchronous_mode: true": "synchronous_mode: false"}),
        }.items():
            text = text.replace(before, after)
        return text

    def _environment(self, file: str, name: str) -> dict[str, str]:
        text = (HERE / file).read_text().replace("//10.0.0.1:", "//a.example:")
        text = text.replace("_NAME=a\n", f"_NAME={name}\n")
        lines = []
        for line in text.splitlines():
            several = "," in line
            for other in NAMES if several else ("a",):
                mine = other if several else name
                for port in ("8008", "5432", "2379", "2380"):
                    address = f"127.0.0.1:{self._ports[mine, port]}"
                    line = line.replace(f"{other}.example:{port}", address)
            lines.append(line.partition("=")[::2])
        return dict(lines)

    def _run(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command,
                env={"PATH": f"{self._bin}:{PATH}", "LANG": "C.UTF-8", **environment},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                **account.identity(),
            )

    def _node_folder(self, name: str) -> Path:
        return self._folder / name

    def _logs(self) -> str:
        return "\n".join(
            f"{log.name}: {log.read_text()[-2000:]}" for log in self._folder.glob("*.log")
        )


def _can_be_written_to(conninfo: str) -> bool:
    try:
        psycopg.connect(conninfo, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _port_names() -> Iterator[tuple[str, str]]:
    for name in NAMES:
        for port in ("5432", "8008", "2379", "2380"):
            yield name, port


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        bound = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in bound]
