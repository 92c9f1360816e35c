"""A program that asks a Message DB everything that the client message-db-py can, in a process.

python client.py CONNINFO    prints what it was answered, as JSON
"""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def answers(client: Any) -> list[object]:
    found: list[object] = []

    def ask(call: Callable[..., object], *arguments: object, **options: object) -> None:
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

    client = MessageDB.from_url(sys.argv[1], max_connections=8)
    sys.stdout.write(json.dumps(masked(answers(client))))


if __name__ == "__main__":
    main()
