"""The sdist, and the wheel that is built from it: every file of the package, and no other.

`make dist` also installs them; it takes longer, and asks PyPI.
"""

import tarfile
import zipfile
from pathlib import Path

import pytest

from tools import dist


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return dist.build(tmp_path_factory.mktemp("dist"), "--no-isolation")


def test_built_archives_have_every_file_of_the_package(archives: tuple[Path, Path]) -> None:
    for archive in archives:
        assert list(dist.differences_of(archive, dist.ROOT)) == []


@pytest.mark.parametrize(
    "lost", ["pgstore/_core/ids.py", "pgstore/sql/install.sql", "pgstore/py.typed"]
)
def test_file_that_a_wheel_lost_is_named(
    archives: tuple[Path, Path], tmp_path: Path, lost: str
) -> None:
    _, whole = archives
    poorer = tmp_path / whole.name
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(poorer, "w") as target:
        for name in source.namelist():
            if name != lost:
                target.writestr(name, source.read(name))
        target.writestr("pgstore/_core/forgotten.py", "")
    assert list(dist.differences_of(poorer, dist.ROOT)) == [
        f"{lost} is missing",
        "pgstore/_core/forgotten.py is not of the tree",
    ]


@pytest.mark.parametrize("folder", ["sql", "pgstore/sql", "pgstore/cli"])
def test_folder_that_an_sdist_lost_is_named(
    archives: tuple[Path, Path], tmp_path: Path, folder: str
) -> None:
    whole, _ = archives
    poorer = tmp_path / whole.name
    with tarfile.open(whole) as source, tarfile.open(poorer, "w:gz") as target:
        for member in source:
            if not member.name.partition("/")[2].startswith(f"{folder}/"):
                target.addfile(member, source.extractfile(member))
    found = list(dist.differences_of(poorer, dist.ROOT))
    assert found
    assert [each for each in found if not each.startswith(f"{folder}/")] == []
