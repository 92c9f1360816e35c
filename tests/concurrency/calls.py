"""Every call that takes locks, on a store in which each of them has something to lock."""

from typing import NamedTuple

from tests.concurrency.sessions import Session

# Functions that are not STABLE only because they must look anew each time, or make something that
# is not stored. Those of sleeping readers share the bell keys, which a writer holds for an instant.
WITHOUT_LOCKS = {
    "begin_handling",
    "fall_asleep",
    "health",
    "horizon",
    "horizon_age",
    "last_position",
    "list_partitions",
    "list_retention",
    "new_message_id",
    "next_claim",
    "position_before",
    "read_all",
    "read_category",
    "read_matching",
    "read_matching_json",
    "read_page",
    "read_page_json",
    "read_tagged",
    "read_tagged_json",
    "safe_position",
    "store_statistics",
    "wake_up",
}

# As a migration, these lock all tables together for a moment, and give them back.
OF_ALL_TABLES = {
    "fence_store": "SELECT fence_store('host=elsewhere', '20 s')",
    "lift_fence": "SELECT fence_store('host=elsewhere', '20 s'); SELECT lift_fence('20 s')",
}

_WRITE = "SELECT write_message('a-1', 'T', '1')"


class Lease(NamedTuple):
    """A leased partition: its messages that failed and that wait to be replayed, and its end."""

    subscription: str
    partition: int
    token: int
    failed: int
    replayed: int
    checkpoint: int

    @property
    def key(self) -> str:
        return f"'{self.subscription}', {self.partition}, {self.token}"

    def calls(self) -> dict[str, str]:
        """What a worker calls, and handlers that do so before and after they have written."""
        of = self.subscription
        acknowledge = f"SELECT acknowledge({self.key}, {self.checkpoint})"
        settle = f"SELECT settle_parked({self.key}, {self.replayed})"
        return {
            f"acknowledge {of}": acknowledge,
            f"settle_parked {of}": settle,
            f"write, then acknowledge {of}": f"{_WRITE}; {acknowledge}",
            f"acknowledge {of}, then write": f"{acknowledge}; {_WRITE}",
            f"write, then settle_parked {of}": f"{_WRITE}; {settle}",
            f"settle_parked {of}, then write": f"{settle}; {_WRITE}",
            f"fetch_batch {of}": f"SELECT fetch_batch({self.key})",
            f"fetch_batch_json {of}": f"SELECT fetch_batch_json({self.key})",
            f"extend_lease {of}": f"SELECT extend_lease({self.key})",
            f"release_partition {of}": f"SELECT release_partition({self.key})",
            f"abandon_partition {of}": f"SELECT abandon_partition({self.key}, 'E')",
            f"fail_message {of}": f"SELECT fail_message({self.key}, {self.failed}, 'E')",
            f"fail_message {of}, again": f"SELECT fail_message({self.key}, {self.replayed}, 'E')",
        }


def _of_subscription(name: str) -> dict[str, str]:
    return {
        f"{function} {name}": f"SELECT {function}({arguments})"
        for function, arguments in {
            "claim_batch": f"'{{{name}}}', 'other'",
            "claim_batch_json": f"'{{{name}}}', 'other'",
            "claim_partition": f"'{{{name}}}', 'other'",
            "create_subscription": f"'{name}', '{{a,b}}', retry_delay => '7s'",
            "drop_parked": f"'{name}'",
            "drop_subscription": f"'{name}'",
            "hold_subscription": f"'{name}'",
            "pause_subscription": f"'{name}'",
            "refilter_subscription": f"'{name}', '{{a,b}}'",
            "replay_parked": f"'{name}'",
            "repartition_subscription": f"'{name}', 5",
            "resume_subscription": f"'{name}'",
            "rewind_subscription": f"'{name}', 0",
        }.items()
    }


_IMPORT = (
    "SELECT import_messages('{%s,imported-1}', '{%s,1}', '{T,T}', '{1,1}', NULL,"
    " ARRAY[new_message_id(), new_message_id()], ARRAY[now(), now()]%s)"
)
_POSITIONS = ", ARRAY[last_position() + 1000, last_position() + 1001]"

_REDACT = (
    "SELECT redact_message((SELECT m.message_id FROM messages AS m WHERE m.global_position = %s),"
    " '0', 'reason')"
)

_GROUPED = (
    "'{T,T,T}', '{1,2,3}', NULL, NULL, ARRAY[new_message_id(), new_message_id(), new_message_id()]"
)

_QUERY = """'[{"tags": ["y"]}, {"tags": ["x", "y"]}]'"""
_IF = f"{_QUERY}, d.decided_upon) FROM read_tagged({_QUERY}) AS d WHERE d.message_id IS NULL"

_CANCEL = "SELECT cancel_message(md5('scheduled')::uuid)"

_OTHERS = {
    "write_message": _WRITE,
    "write_message, new stream": "SELECT write_message('new-1', 'T', '1')",
    "write_message, new stream, serializable": (
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT write_message('new-1', 'T', '1')"
    ),
    "write_messages": """SELECT write_messages('a-1', '[{"type": "T", "data": 1}]')""",
    "write_arrays": "SELECT write_arrays('a-1', '{T,T}', '{1,2}')",
    "write_arrays, new stream": "SELECT write_arrays('new-1', '{T,T}', '{1,2}')",
    "write_group": f"SELECT write_group('{{a-1,a-1,b-1}}', {_GROUPED})",
    "write_group, new stream": f"SELECT write_group('{{new-1,a-1,new-1}}', {_GROUPED})",
    "synchronize_stream": "SELECT synchronize_stream('new-1', '{}', '{T}', '{1}')",
    "write_message, tag": "SELECT write_message('a-1', 'T', '1', tags => '{x}')",
    "write_message, tags": "SELECT write_message('a-2', 'T', '1', tags => '{y,x,z}')",
    "write_message, condition": (
        f"SELECT write_message('a-1', 'T', '1', NULL, NULL, NULL, '{{z,x}}', {_IF}"
    ),
    "write_messages, tags": (
        """SELECT write_messages('a-2', '[{"type": "T", "data": 1, "tags": ["y", "x"]}]')"""
    ),
    "write_if": f"""SELECT write_if('a-2', '[{{"type": "T", "data": 1}}]', {_IF}""",
    "write_if, new stream": (
        f"""SELECT write_if('new-1', '[{{"type": "T", "data": 1, "tags": ["x"]}}]', {_IF}"""
    ),
    "write_arrays, condition": (
        "SELECT write_arrays('b-1', '{T,T}', '{1,2}', NULL, NULL, NULL,"
        f""" ARRAY['["x"]', '["y", "z"]']::jsonb[], {_IF}"""
    ),
    "synchronize_stream, tags": (
        "SELECT synchronize_stream('new-1', '{}', '{T}', '{1}',"
        """ tags => ARRAY['["x", "y"]']::jsonb[])"""
    ),
    "save_snapshot": "SELECT save_snapshot('a-1', 's', 1, 3, '{}', 1)",
    "drop_snapshots": "SELECT drop_snapshots('s')",
    "truncate_stream": "SELECT truncate_stream('a-1', 3)",
    "delete_stream": "SELECT delete_stream('a-1', NULL)",
    "redact_message, parked": _REDACT % 1,
    "redact_message, failed": _REDACT % 2,
    "set_retention": "SELECT set_retention('a', max_count => 1)",
    "drop_retention": "SELECT drop_retention('a')",
    "apply_retention": "SELECT apply_retention()",
    "import_messages": _IMPORT % ("a-1", 4, ""),
    "import_messages, tags": _IMPORT % ("a-1", 4, """, tags => ARRAY['["x"]', '["y"]']::jsonb[]"""),
    "import_messages, positions": _IMPORT % ("a-1", 4, _POSITIONS),
    "skip_positions": "SELECT skip_positions()",
    "repair_sequences": "SELECT repair_sequences()",
    "empty_store": "SELECT empty_store(current_schema())",
    "schedule_message": "SELECT schedule_message('a-1', 'T', '1', now())",
    "schedule_message, again": (
        "SELECT schedule_message('a-1', 'T', '1', now(), NULL, md5('scheduled')::uuid)"
    ),
    "cancel_message": _CANCEL,
    "cancel_message scheduled, then write": f"{_CANCEL}; {_WRITE}",
    "write, then cancel_message scheduled": f"{_WRITE}; {_CANCEL}",
    "deliver_scheduled": "SELECT deliver_scheduled()",
    "publish_horizon": "SELECT publish_horizon()",
    "import_floors": "SELECT import_floors('{a-1,floors-1}', '{1,2}')",
}


def _rights(role: str) -> dict[str, str]:
    calls = {}
    for kind in ("read", "write", "consume", "monitor", "admin"):
        calls[f"grant_access, {kind}"] = f"SELECT grant_access('{role}', '{kind}')"
        calls[f"revoke_access, {kind}"] = f"SELECT revoke_access('{role}', '{kind}')"
    calls["grant_access, categories"] = f"SELECT grant_access('{role}', 'write', '{{a}}')"
    return calls


def prepare(session: Session, role: str) -> dict[str, str]:
    """Fill a store so that no call lacks something to lock; the calls, each a transaction's."""
    session.run("SELECT publish_horizon()")  # and what follows moves it
    session.run("SELECT write_message('a-1', 'T', '1', tags => '{x,y}')")
    for stream in ["a-1"] * 2 + ["a-2", "a-3", "b-1", "b-2"] * 3:
        session.run("SELECT write_message(%s, 'T', '1')", stream)
    for stream in ("a-1", "a-2"):
        session.run("SELECT save_snapshot(%s, 's', 1, 1, '{}', 0)", stream)
    session.run("INSERT INTO stream_changes SELECT s.stream_id, 1 FROM streams AS s")
    session.run("SELECT set_retention('a', max_count => 0, keep_unhandled => false)")
    session.run("SELECT schedule_message('a-1', 'T', '1', now(), NULL, md5('scheduled')::uuid)")
    session.run("SELECT schedule_message('a-2', 'T', '1', now(), tags => '{y,x}')")
    calls = dict(_OTHERS) | _rights(role)
    session.run(f"SELECT grant_access('{role}', 'read'), grant_access('{role}', 'admin')")
    leases = {name: _leased(session, name, n) for name, n in {"one": 1, "four": 4}.items()}
    for name, n in {"few": 2, "growing": 1}.items():
        _to_be_repartitioned(session, name, n)
    for name, n in {"free": 1, "free_four": 4}.items():
        _create(session, name, n)
    for lease in leases.values():
        calls |= lease.calls()
    for name in (*leases, "few", "growing", "free", "free_four"):
        calls |= _of_subscription(name)
    return calls


def _create(session: Session, name: str, partitions: int, max_attempts: int = 1) -> None:
    session.run(
        "SELECT create_subscription(%s, '{a,b}', partitions => %s, on_failure => 'park',"
        " max_attempts => %s, retry_delay => '0')",
        name,
        partitions,
        max_attempts,
    )


def _claim(session: Session, name: str) -> tuple[int, int] | None:
    """Lease a partition for an hour; its number and the token."""
    claim = "SELECT partition, token FROM claim_partition(ARRAY[%s], 'me', '1 hour')"
    while rows := session.run(claim, name):
        if rows[0][1] is not None:
            return rows[0][0], rows[0][1]
    return None


def _leased(session: Session, name: str, partitions: int) -> Lease:
    """A leased partition with a parked message under replay, and one that failed once."""
    _create(session, name, partitions)
    claimed = _claim(session, name)
    assert claimed is not None
    fetch = "SELECT global_position FROM fetch_batch(%s, %s, %s)"
    fail = "SELECT fail_message(%s, %s, %s, %s, 'E')"
    found = [position for (position,) in session.run(fetch, name, *claimed) if position]
    parked, failing = found[:2]
    session.run(fail, name, *claimed, parked)
    _create(session, name, partitions, max_attempts=5)
    session.run(fail, name, *claimed, failing)
    session.run("SELECT replay_parked(%s)", name)
    # Not by a claim, which takes what waits longest. Half of it is over, so a fetch extends it.
    ((partition, token),) = session.run(
        "UPDATE subscription_partitions AS p"
        " SET leased_until = now() + interval '1 hour', lease = '3 hours'"
        " FROM subscriptions AS s WHERE s.subscription_id = p.subscription_id"
        " AND s.subscription = %s AND p.partition = %s RETURNING p.partition, p.token",
        name,
        claimed[0],
    )
    return Lease(name, partition, token, failing, parked, found[-1])


def _to_be_repartitioned(session: Session, name: str, partitions: int) -> None:
    """A subscription that has handled everything but what it parked, and is to grow."""
    _create(session, name, partitions)
    while (claimed := _claim(session, name)) is not None:
        key = (name, *claimed)
        rows = session.run("SELECT global_position, checkpoint FROM fetch_batch(%s, %s, %s)", *key)
        session.run("SELECT fail_message(%s, %s, %s, %s, 'E')", *key, rows[0][0])
        session.run("SELECT acknowledge(%s, %s, %s, %s, true)", *key, rows[-1][1])
    session.run("SELECT repartition_subscription(%s, 3)", name)
