"""A store moves to a server of another version, and back: by `make test-versions`."""

from collections.abc import Iterator

import pytest

from pgstore.embedded import Server
from tests.amounts import amount
from tests.embedded.moving import SETTINGS, Load, Places, move, nothing_is_lost
from tests.other_version import NoOtherVersion, OtherVersion, programs
from tests.skips import skip


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    try:
        programs()
    except NoOtherVersion:
        skip("other_version")
    with Server(settings=SETTINGS) as one, OtherVersion(settings=SETTINGS) as other:
        yield one, other


def test_store_moves_to_another_version_and_back_while_it_is_used(places: Places) -> None:
    with Load(places.directory, places.elsewhere) as load:
        load.goes_on()
        for _ in range(amount(1, 10)):
            move(places)
            load.goes_on()
            move(places.back())
            load.goes_on()
        load.settle()
        nothing_is_lost(places.back(), load)
