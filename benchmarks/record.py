"""The file that a run leaves: everything that is needed to judge its figures."""

from pathlib import Path
from typing import Self

import msgspec

from benchmarks.figures import Figure
from pgstore._core.files import write_whole


class Run(msgspec.Struct, kw_only=True):
    """When a workload was measured, and how."""

    at: str
    """UTC, to the minute."""
    command: str
    seconds: float


class Record(msgspec.Struct, kw_only=True):
    """What was measured, in one run, or in several that were merged."""

    machine: dict[str, str]
    versions: dict[str, str]
    settings: dict[str, str]
    sizes: dict[str, object]
    runs: dict[str, Run]
    """By workload."""
    contenders: dict[str, dict[str, str | None]]
    missing: dict[str, str]
    """Contenders that were not measured, or `workload/contender` that was not, and why."""
    figures: list[Figure]

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, msgspec.json.format(msgspec.json.encode(self), indent=1).decode() + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        return msgspec.json.decode(path.read_bytes(), type=cls)

    def figure(self, key: str) -> Figure | None:
        """The figure with this key, if it was measured."""
        return next((each for each in self.figures if each.key == key), None)

    def beside(self, other: Self) -> Self:
        """This one's workloads, and those that only the other has; it may be of another machine."""
        runs = {name: run for name, run in other.runs.items() if name not in self.runs}
        elsewhere = {
            f"{name}, {', '.join(runs)}": value
            for name, value in other.machine.items()
            if self.machine.get(name) != value
        }
        return msgspec.structs.replace(
            self,
            machine=self.machine | elsewhere if runs else self.machine,
            runs=self.runs | runs,
            contenders=other.contenders | self.contenders,
            figures=[each for each in other.figures if each.workload in runs] + self.figures,
        )

    def into(self, other: Self) -> Self:
        """The other's workloads, and this one's instead of those that both have.

        ValueError if they cannot be shown as one: another machine, versions or settings.
        """
        for what in ("machine", "settings"):
            if (mine := getattr(self, what)) != (theirs := getattr(other, what)):
                raise ValueError(f"{what}: {mine} cannot be merged into {theirs}")
        if different := {
            name
            for name in self.versions.keys() & other.versions.keys()
            if self.versions[name] != other.versions[name]
        }:
            raise ValueError(f"other versions of {', '.join(sorted(different))}")
        kept = [each for each in other.figures if each.workload not in self.runs]
        missing = {
            name: reason
            for name, reason in other.missing.items()
            if name.partition("/")[0] not in self.runs
        }
        return msgspec.structs.replace(
            self,
            versions=other.versions | self.versions,
            sizes=other.sizes | self.sizes,
            runs=other.runs | self.runs,
            contenders=other.contenders | self.contenders,
            missing=missing | self.missing,
            figures=kept + self.figures,
        )
