"""The same small application on each store, to compare what its user writes."""

from pathlib import Path

import msgspec

HERE = Path(__file__).parent


class Application(msgspec.Struct, frozen=True):
    """An application: its store, its file, and the environment that it runs in.

    Attributes:
        checkpoints: the tables and the column where its store keeps them.
        cannot: questions that it answers with "cannot", because its store lacks the feature.
        reports_failures: whether its store raises the error of a subscription to the application.
    """

    title: str
    file: str
    environment: str
    checkpoints: tuple[list[str], str]
    cannot: frozenset[str] = frozenset()
    reports_failures: bool = True

    @property
    def path(self) -> Path:
        return HERE / self.file


APPLICATIONS = {
    "pgstore": Application(
        title="pgstore",
        file="pgstore_app.py",
        environment="own",
        checkpoints=(["shop.subscription_partitions"], "checkpoint"),
    ),
    "eventsourcing": Application(
        title="eventsourcing",
        file="eventsourcing_app.py",
        environment="bench",
        checkpoints=(["overviewprojection_tracking", "fulfilment_tracking"], "notification_id"),
    ),
    "depeche": Application(
        title="depeche_db",
        file="depeche_app.py",
        environment="bench",
        checkpoints=(
            ["depeche_subscriptions_overview", "depeche_subscriptions_fulfilment"],
            "position",
        ),
    ),
    "emmett": Application(
        title="Emmett",
        file="emmett_app.mjs",
        environment="node",
        checkpoints=(["emt_processors_emt_default"], "last_processed_checkpoint"),
        cannot=frozenset({"state_is_kept"}),
        reports_failures=False,
    ),
}
