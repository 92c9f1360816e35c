"""Every fault a few times: the short form of `make soak`."""

from collections.abc import Iterator

import pytest

from tests.faults.catalogue import FAULTS
from tests.faults.counts import Rounds
from tests.faults.disks import CannotMount
from tests.faults.poolers import NoPooler
from tests.faults.servers import Durable, durable_server
from tests.other_version import NoOtherVersion
from tests.patroni.packages import asked_for
from tests.skips import skip

SECONDS = 30.0


@pytest.fixture(scope="module")
def server() -> Iterator[Durable]:
    with durable_server() as server:
        yield server


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.short])
def test_promise_is_kept(server: Durable, name: str) -> None:
    if name == "patroni" and not asked_for():
        skip("patroni")
    rounds = Rounds(FAULTS[name].short, SECONDS)
    try:
        counts = FAULTS[name].run(server, rounds)
    except CannotMount:
        skip("mount")
    except NoOtherVersion:
        skip("other_version")
    except NoPooler:
        skip("pgbouncer")
    assert counts.wrong == {}
    assert counts.acknowledged
    assert rounds.made
