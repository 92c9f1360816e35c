"""Python with psycopg2. PGHOST, PGPORT, PGUSER and PGDATABASE say where the server is."""

import json
import select
import time
import uuid

import psycopg2
from psycopg2.extras import Json, RealDictCursor


def connect():
    conn = psycopg2.connect("", cursor_factory=RealDictCursor)
    # Each statement commits by itself. Otherwise nothing is stored before commit().
    conn.autocommit = True
    return conn


def rows(conn, text, *values):
    with conn.cursor() as cursor:
        cursor.execute(text, values)
        return cursor.fetchall()


def one(conn, text, *values):
    return rows(conn, text, *values)[0]


def refused(conn, text, *values):
    try:
        one(conn, text, *values)
    except psycopg2.Error as error:
        return error
    raise AssertionError("no error")


def tell(operation, **answer):
    print(json.dumps({"operation": operation, **answer}))


conn = connect()

# Write. Json() sends any value as JSON.
write = "SELECT * FROM bank.write_message(%s, %s, %s)"
tell("write", **one(conn, write, "account-1", "Opened", Json({"owner": "Ann"})))

# Write only if the stream is at version 1. The second time it is not: a code, and JSON as detail.
expecting = "SELECT * FROM bank.write_message(%s, %s, %s, expected_version => %s)"
deposit = ["account-1", "Deposited", Json({"amount": 10}), 1]
version = one(conn, expecting, *deposit)["version"]
conflict = refused(conn, expecting, *deposit)
detail = json.loads(conflict.diag.message_detail)
tell("expected version", version=version, sqlstate=conflict.pgcode, detail=detail)

# Write again, because no answer came: the same id is stored once, and answers the same.
again = "SELECT * FROM bank.write_message(%s, %s, %s, message_id => %s)"
withdrawal = ["account-1", "Withdrawn", Json({"amount": 5}), str(uuid.uuid4())]
tell("retry", first=one(conn, again, *withdrawal), again=one(conn, again, *withdrawal))

# A batch, as one JSON array.
messages = [
    {"type": "Deposited", "data": {"amount": 20}},
    {"type": "Noted", "data": {"text": 'It\'s "5 €"'}},
]
tell("batch", **one(conn, "SELECT * FROM bank.write_messages(%s, %s)", "account-1", Json(messages)))

# Decide on messages with a tag, and write only if no other one has come.
query = Json([{"tags": ["seat-7"]}])
taken = one(conn, "SELECT bank.read_tagged_json(%s) AS taken", query)["taken"]
unless = "SELECT * FROM bank.write_if(%s, %s, %s, %s)"
booking = Json([{"type": "Booked", "data": {"seat": 7}, "tags": ["seat-7"]}])
booked = one(conn, unless, "booking-1", booking, query, taken["decided_upon"])
late = refused(conn, unless, "booking-2", booking, query, taken["decided_upon"])
tell("condition", **booked, sqlstate=late.pgcode)

# Read a stream.
read = "SELECT version, type, data FROM bank.read_stream(%s)"
tell("read stream", messages=rows(conn, read, "account-1"))

# Follow everything, page by page. Store reached_position to continue there.
page = {"reached_position": 0, "more": True}
following = "SELECT bank.read_page_json(%s, %s) AS page"
positions = []
while page["more"]:
    page = one(conn, following, page["reached_position"], 2)["page"]
    positions += [message["global_position"] for message in page["messages"]]
tell("follow", positions=positions)


# Consume. The acknowledgement commits with what the handler did: each message has its effect once.
def consume(handled):
    claim = one(conn, "SELECT bank.claim_batch_json(%s, %s) AS claim", ["mails"], "worker-1")[
        "claim"
    ]
    if claim["state"] == "idle":
        return False  # wait for the bell, at most two seconds
    if claim["state"] == "busy":
        time.sleep(0.005)
        return True
    lease = [claim["subscription"], claim["partition"], claim["token"]]
    failed = None
    conn.autocommit = False
    try:
        with conn, conn.cursor() as cursor:  # commits, or rolls back after an error
            for message in claim["messages"]:
                failed = message["global_position"]
                cursor.execute("INSERT INTO mails VALUES (%s, %s)", [message["message_id"], failed])
            acknowledge = "SELECT bank.acknowledge(%s, %s, %s, %s, release => true)"
            cursor.execute(acknowledge, [*lease, claim["checkpoint"]])
    except psycopg2.Error as error:
        conn.autocommit = True
        if error.pgcode == "MS020":
            return True  # the lease was lost: another worker has the messages
        if failed is None:
            raise  # no message failed, but the acknowledgement
        one(conn, "SELECT bank.fail_message(%s, %s, %s, %s, %s)", *lease, failed, str(error))
        return True
    conn.autocommit = True
    handled += [message["global_position"] for message in claim["messages"]]
    return True


subscribe = "SELECT bank.create_subscription(%s, categories => %s, retry_delay => '0')"
one(conn, subscribe, "mails", ["account"])
handled = []
while consume(handled):
    pass
lost = refused(conn, "SELECT bank.acknowledge(%s, 0, 1, 1)", "mails")
tell("consume", handled=handled, lost=lost.pgcode)

# Wait for a message. The session that listens holds the bell: only then do writers notify.
sleeper = connect()
pid = sleeper.info.backend_pid
channel = one(sleeper, "SELECT bank.wake_channel() AS channel")["channel"]
with sleeper.cursor() as cursor:
    cursor.execute(f'LISTEN "{channel}"')
look = one(sleeper, "SELECT * FROM bank.fall_asleep(%s)", pid)
wait = look["safe_position"] <= page["looked_position"] and not look["in_flight"]
one(
    conn, write, "account-2", "Opened", Json({"owner": "Bo"})
)  # by somebody else, while this one waits
if wait:
    select.select([sleeper], [], [], 10)
sleeper.poll()
notified = wait and bool(sleeper.notifies)
one(sleeper, "SELECT bank.wake_up(%s)", pid)
page = one(conn, following, page["reached_position"], 10)["page"]
tell("listen", notified=notified, messages=page["messages"])
