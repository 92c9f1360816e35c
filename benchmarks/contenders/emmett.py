"""Emmett's PostgreSQL event store; its client is emmett.mjs."""

from benchmarks.contenders.contract import Client, Contender


class Emmett(Contender):
    name = "emmett"
    title = "Emmett"
    environment = "node"
    needs = ("node",)
    count = "SELECT count(*) FROM emt_messages"
    find = "SELECT count(*) FROM emt_messages WHERE message_data ->> 'reference' = %s"
    table = "emt_messages_emt_default_active"
    setting = (
        "getPostgreSQLEventStore with its pool, in Node; up to 4 processes share the clients."
        " Writers of one stream refuse each other, and try again at once."
        " Consumers are its reactors, batchSize 1,000, pulling every 50 ms (its default)."
    )
    global_order = (
        "Its consumer, which reads below the oldest running transaction, ordered by transaction,"
        " and continues after the position of the last message. An append is a transaction of its"
        " own: it has none over several streams."
    )
    checkpoints_each_message = True
    lacks = {  # noqa: RUF012
        "catch-up/partitions": "a processor has one reader at a time",
        "catch-up/once": "not tried",
        "reads/everything": "it reads across streams by consumers only",
    }

    def client(self, conninfo: str) -> Client:
        raise NotImplementedError("its clients run in Node")
