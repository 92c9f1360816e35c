"""A program that asks a Message DB everything that the client message-db-py can, in a process.

python client.py CONNINFO    prints what it was answered, and what it has not called, as JSON
"""

import inspect
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

READ = (
    "SELECT id, stream_name, type, position, global_position, data::text, metadata::text, time FROM"
)


def parameters(client: Any) -> set[str]:
    """Every parameter of every public function."""
    functions = inspect.getmembers(client, inspect.ismethod)
    return {
        f"{name}: {parameter}"
        for name, function in functions
        if not name.startswith("_") and name != "from_url"
        for parameter in inspect.signature(function).parameters
    }


def answers(client: Any, unused: set[str]) -> list[object]:
    found: list[object] = []

    def ask(call: Callable[..., object], *arguments: object, **options: object) -> None:
        for name in inspect.signature(call).bind(*arguments, **options).arguments:
            unused.discard(f"{call.__name__}: {name}")
        try:
            answer = call(*arguments, **options)
        except Exception as error:
            answer = [type(error).__name__, str(error).partition("\n")[0]]
        found.append([call.__name__, arguments, options, answer])

    for number in range(12):
        stream = f"account-{number % 5}"
        ask(
            client.write, stream, "Opened", {"n": number}, {"trace": number} if number % 2 else None
        )
    ask(client.write, "account-0+1", "Opened", {})
    ask(client.write, "account:snapshot-0", "Snapshot", {})
    for version in (-1, 0, 2, 3, None):
        ask(client.write, "account-1", "Changed", {"a": [1.5, None]}, expected_version=version)
        ask(client.write, f"new-{version}", "Changed", {}, expected_version=version)
    batch = [("A", {"n": 1}), ("B", {"n": 2}, {"m": 1}), ("C", {})]
    for version in (None, -1, 2, 5):
        ask(client.write_batch, "batch-1", batch, expected_version=version)
    for name in ("account-1", "account", "account-9", "none", "$all", "batch-1"):
        ask(client.read, name)
        ask(client.read, name, position=1, no_of_messages=3)
        ask(client.read, name, no_of_messages=0)
        ask(client.read, name, no_of_messages=-1)
        ask(client.read, name, no_of_messages=-2)
        ask(client.read_last_message, name)
        ask(client.read_stream, name)
        ask(client.read_category, name)
        ask(client.stream_identifiers, name)
    for member in range(-1, 4):
        ask(client.read_category, "account", consumer_group_member=member, consumer_group_size=3)
        ask(client.read, "account", consumer_group_member=member, consumer_group_size=3)
        ask(client.read, "account", 1, 2, consumer_group_member=member, consumer_group_size=2)
    ask(client.read, "account", consumer_group_member=1)
    ask(client.read_category, "account", consumer_group_size=2)
    for position, count in ((0, 2), (3, 1000), (1, 0), (-1, 1), (99, 1)):
        ask(client.read_stream, "account-1", position=position, no_of_messages=count)
        ask(client.read_category, "account", position=position, no_of_messages=count)
        ask(client.read, "account-1", position=position, no_of_messages=count)
    ask(client.read, "account-1", sql=f"{READ} messages WHERE stream_name = %(stream_name)s")
    last = f"{READ} get_last_stream_message(%(stream_name)s)"
    ask(client.read, "account-1", sql=last, position=1, no_of_messages=1)
    ask(client.read, "account-1", sql=f"{READ} no_such_table")
    with ThreadPoolExecutor(4) as pool:
        written = pool.map(lambda n: client.write(f"thread-{n % 2}", "A", {"n": n}), range(20))
        found.append(sorted(written))
    ask(client.stream_identifiers, "thread")
    return found


def masked(value: object) -> object:
    """Without what differs by chance: ids, times, and positions, of which the order counts."""
    if isinstance(value, dict) and "global_position" in value:
        kept = {key: each for key, each in value.items() if key != "id"}
        return kept | {"time": type(value["time"]).__name__}
    if isinstance(value, list | tuple):
        return [masked(each) for each in value]
    return value


def main() -> None:
    from message_db.client import MessageDB  # type: ignore[import-not-found]
    from message_db.connection import ConnectionPool  # type: ignore[import-not-found]

    client = MessageDB.from_url(sys.argv[1], max_connections=8)
    unused = parameters(client)
    found = answers(client, unused)
    # The other ways to make one: of a pool, and of names, as which it logs in.
    pool = ConnectionPool.from_url(sys.argv[1])
    other = MessageDB(connection_pool=pool)
    found.append([other.read_last_message("account-1"), other.write("pool-1", "A", {})])
    conn = pool.get_connection()
    place = {name: getattr(conn.info, name) for name in ("dbname", "host", "port")}
    pool.release(conn, close=True)
    pool.closeall()
    named = MessageDB(user="message_store", password="", **place)
    found.append([named.write("named-1", "A", {}), named.read_stream("named-1")])
    json.dump({"answers": masked(found), "unused": sorted(unused)}, sys.stdout)


if __name__ == "__main__":
    main()
