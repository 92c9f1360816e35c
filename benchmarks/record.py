"""The file that a run leaves: everything that is needed to judge its figures."""

from pathlib import Path
from typing import Self

import msgspec

from benchmarks.figures import Figure


class Record(msgspec.Struct, kw_only=True):
    """A run."""

    command: str
    machine: dict[str, str]
    versions: dict[str, str]
    settings: dict[str, str]
    sizes: dict[str, object]
    seconds: dict[str, float]
    contenders: dict[str, dict[str, str | None]]
    missing: dict[str, str]
    figures: list[Figure]

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        return msgspec.json.decode(path.read_bytes(), type=cls)

    def figure(self, key: str) -> Figure | None:
        """The figure with this key, if it was measured."""
        return next((each for each in self.figures if each.key == key), None)
