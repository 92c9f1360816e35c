"""PgBouncer in transaction mode ends, or what is behind it fails over, under what uses it."""

import random
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgstore.embedded import account
from tests.client.proxy import Proxy
from tests.faults.counts import Counts, Rounds
from tests.faults.promotion import either, to_and_fro
from tests.faults.servers import Durable, temporary_folder
from tests.faults.traffic import Traffic

_PATIENCE = 30.0

_CONFIGURATION = """
[databases]
postgres = host={host} port={port} user=postgres
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = {folder}
auth_type = any
pool_mode = transaction
max_client_conn = 200
default_pool_size = 40
server_login_retry = 1
"""


class NoPooler(Exception):
    """PgBouncer is not installed."""


def pooler(server: Durable, rounds: Rounds) -> Counts:
    """End PgBouncer, at once or by signal 9, and start it again."""
    program = _program()
    with temporary_folder() as folder:
        configuration = _configure(folder, server.conninfo)
        process = _start(program, configuration)
        try:
            conninfo = make_conninfo(server.conninfo, host=str(configuration.parent), port=6432)
            with Traffic(conninfo, "pooler", direct=server.conninfo, pooled=True) as traffic:
                for _ in rounds:
                    traffic.wait_until_back()
                    time.sleep(random.uniform(0.1, 0.5))
                    _end(process, random.choice((signal.SIGTERM, signal.SIGKILL)))
                    time.sleep(random.choice((0.0, 0.5)))
                    process = _start(program, configuration)
                traffic.wait_until_back()
                return traffic.finish()
        finally:
            _end(process, signal.SIGKILL)


def pooler_promotion(_server: Durable, rounds: Rounds) -> Counts:
    """Kill the primary behind PgBouncer and promote its standby; one address leads to either."""
    program = _program()
    with ExitStack() as stack:
        proxies: list[Proxy] = []

        def begin(primary: Durable, standby: Durable, name: str) -> Traffic:
            proxies.append(stack.enter_context(Proxy.running(primary.conninfo)))
            folder = stack.enter_context(temporary_folder())
            configuration = _configure(folder, proxies[0].conninfo)
            stack.callback(_end, _start(program, configuration), signal.SIGKILL)
            through = make_conninfo(primary.conninfo, host=str(configuration.parent), port=6432)
            return Traffic(through, name, direct=either(primary, standby), pooled=True)

        def take_away(primary: Durable) -> None:
            proxies[0].go_down()
            primary.crash()

        def lead_to(primary: Durable) -> None:
            proxies[0].lead_to(primary.conninfo)
            proxies[0].come_up()

        return to_and_fro(rounds, "pooler_promotion", begin, take_away, lead_to)


def _program() -> str:
    found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if found is None:
        raise NoPooler
    return found


def _configure(folder: Path, conninfo: str) -> Path:
    place = folder / "pooler"
    place.mkdir(mode=0o700)
    known = conninfo_to_dict(conninfo)
    configuration = place / "pgbouncer.ini"
    configuration.write_text(
        _CONFIGURATION.format(host=known["host"], port=known["port"], folder=place)
    )
    for each in (place, configuration):
        account.hand_over(each)
    return configuration


def _start(program: str, configuration: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [program, "--quiet", configuration],
        **account.identity(),
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    conninfo = f"host={configuration.parent} port=6432 user=postgres dbname=postgres"
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            psycopg.connect(conninfo, connect_timeout=5).close()
        except psycopg.OperationalError:
            assert process.poll() is None, "PgBouncer has ended"
            assert time.monotonic() < end, "PgBouncer does not answer"
            time.sleep(0.02)
        else:
            return process


def _end(process: subprocess.Popen[bytes], number: int) -> None:
    process.send_signal(number)
    process.wait(_PATIENCE)
