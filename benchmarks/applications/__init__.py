"""The same small application on each store, to compare what its user writes."""

from pathlib import Path

import msgspec

HERE = Path(__file__).parent


class Application(msgspec.Struct, frozen=True):
    """An application: its store, its file, the environment that it runs in, what it cannot do."""

    title: str
    file: str
    environment: str
    cannot: frozenset[str] = frozenset()

    @property
    def path(self) -> Path:
        return HERE / self.file


APPLICATIONS = {
    "pgstore": Application("pgstore", "pgstore_app.py", "own"),
    "eventsourcing": Application("eventsourcing", "eventsourcing_app.py", "bench"),
    "depeche": Application("depeche_db", "depeche_app.py", "bench"),
    "emmett": Application("Emmett", "emmett_app.mjs", "node", frozenset({"state_is_kept"})),
}
