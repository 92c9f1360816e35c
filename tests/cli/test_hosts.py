"""Commands on a store of which any of several hosts may have the primary."""

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import pgstore
from tests.cli.conftest import Command

COMMANDS = ("read account-1", "stats", "subscriptions", "verify", "write account-3 Opened {}")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_finds_the_primary_among_several_hosts(
    store: pgstore.MessageStore[pgstore.RawMessage],
    run_here: Command,
    conninfo: str,
    command: str,
) -> None:
    given = conninfo_to_dict(conninfo)
    several = make_conninfo(
        conninfo,
        host=f"/nowhere,{given['host']}",
        port=f"{given['port']},{given['port']}",
        target_session_attrs="read-write",
    )
    done = run_here("--conninfo", several, *command.split())
    assert done.code == 0, done
