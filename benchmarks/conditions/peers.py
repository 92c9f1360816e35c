"""The stores that offer such appends too. Runs in the peers' Python.

`python -m benchmarks.conditions.peers NAME ADDRESS COUNT` makes their tables, and fills them.
"""

import sys
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from benchmarks.conditions.ways import Ways, Work
from benchmarks.payload import SAMPLE, TYPE, decode

DATA = SAMPLE.encode()
BATCH = 1000

# As the recorder's functions store them. The keys are not checked, which takes longest.
FILL = """
SET session_replication_role = replica;
INSERT INTO dcb_events_tt_main (type, data, tags)
SELECT '{type}', '{data}'::bytea, ARRAY['course:' || n / 10, 'student:' || n % {students}]
FROM generate_series(1, {count}) AS n;
INSERT INTO dcb_events_tt_tag (tag, main_id)
SELECT t.tag, m.id FROM dcb_events_tt_main AS m CROSS JOIN unnest(m.tags) AS t (tag);
"""


class PeerWays(Ways):
    """The ways of a peer, under its own name."""

    name: str

    def all(self) -> dict[str, Work]:
        ways: dict[str, Work] = {
            "tag": lambda: self.append(self.own_tag()),
            "conditional": self.conditional,
            "decide": self.decide,
            "compete": self.compete,
        }
        return {f"{self.name}/{way}": work for way, work in ways.items()}

    def append(self, tag: str) -> None:
        raise NotImplementedError


class EventsourcingWays(PeerWays):
    """eventsourcing's PostgresDCBRecorderTT with its defaults, without its mapper."""

    name = "eventsourcing"

    def __init__(self, address: str, client: int = 0, clients: int = 1) -> None:
        from eventsourcing.dcb import api, postgres_tt
        from eventsourcing.persistence import IntegrityError
        from eventsourcing.postgres import PostgresDatastore

        super().__init__(client, clients)
        self.api: Any = api
        self.refusal = IntegrityError
        words = conninfo_to_dict(address)
        self.datastore = PostgresDatastore(
            dbname=str(words["dbname"]),
            host=str(words["host"]),
            port=str(words["port"]),
            user="postgres",
            password="",
            pool_size=1,
        )
        self.recorder: Any = postgres_tt.PostgresDCBRecorderTT(self.datastore)

    def query(self, tag: str) -> Any:
        return self.api.DCBQuery([self.api.DCBQueryItem(tags=[tag])])

    def append(self, tag: str) -> None:
        self.recorder.append([self.api.DCBEvent(TYPE, DATA, [tag])])

    def read(self, tag: str) -> tuple[int, Any]:
        found = self.recorder.read(self.query(tag))
        count = 0
        for each in found:
            decode(each.event.data)
            count += 1
        return count, found.head

    def append_if(self, tag: str, token: Any) -> bool:
        condition = self.api.DCBAppendCondition(self.query(tag), token)
        try:
            self.recorder.append([self.api.DCBEvent(TYPE, DATA, [tag])], condition)
        except self.refusal:
            return False
        return True

    def fill(self, address: str, count: int) -> None:
        self.recorder.create_table()
        sql = FILL.format(type=TYPE, data=SAMPLE, count=count, students=max(1, count // 10))
        with psycopg.connect(address, autocommit=True) as conn:
            conn.execute(sql.encode())

    def close(self) -> None:
        self.datastore.close()


class UmadbWays(PeerWays):
    """UmaDB, a server of its own, by the client of its Python package."""

    name = "umadb"

    def __init__(self, address: str, client: int = 0, clients: int = 1) -> None:
        import umadb

        super().__init__(client, clients)
        self.umadb: Any = umadb
        self.db: Any = umadb.Client(address)

    def query(self, tag: str) -> Any:
        return self.umadb.Query([self.umadb.QueryItem(tags=[tag])])

    def append(self, tag: str) -> None:
        self.db.append([self.umadb.Event(TYPE, DATA, [tag])])

    def read(self, tag: str) -> tuple[int, Any]:
        found, head = self.db.read(self.query(tag)).collect_with_head()
        for each in found:
            decode(each.event.data)
        return len(found), head

    def append_if(self, tag: str, token: Any) -> bool:
        condition = self.umadb.AppendCondition(self.query(tag), token)
        try:
            self.db.append([self.umadb.Event(TYPE, DATA, [tag])], condition)
        except self.umadb.IntegrityError:
            return False
        return True

    def fill(self, address: str, count: int) -> None:
        students = max(1, count // 10)
        for first in range(1, count + 1, BATCH):
            numbers = range(first, min(first + BATCH, count + 1))
            self.db.append(
                [
                    self.umadb.Event(TYPE, DATA, [f"course:{n // 10}", f"student:{n % students}"])
                    for n in numbers
                ]
            )

    def close(self) -> None:
        self.db.close()


PEERS: dict[str, Any] = {each.name: each for each in (EventsourcingWays, UmadbWays)}


def main() -> None:
    name, address, count = sys.argv[1:]
    ways = PEERS[name](address)
    ways.fill(address, int(count))
    ways.close()


if __name__ == "__main__":
    main()
