"""Hooks of runners, whatever the caller makes of them."""

from typing import Any

import pytest

from pgstore import InvalidArgumentError, RunnerHooks
from pgstore._core.subscriptions import GuardedHooks


class Broken(RunnerHooks):
    def behind(self, subscription: str, behind: int) -> None:
        raise ZeroDivisionError


class Ending(RunnerHooks):
    def behind(self, subscription: str, behind: int) -> None:
        raise SystemExit


class Awaited(RunnerHooks):
    async def behind(self, subscription: str, behind: int) -> None: ...  # type: ignore[override]


def test_an_error_is_logged_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    GuardedHooks(Broken()).behind("a", 1)
    (record,) = caplog.records
    assert record.name == "pgstore"
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError
    with pytest.raises(SystemExit):
        GuardedHooks(Ending()).behind("a", 1)


def test_without_hooks_nothing_happens(caplog: pytest.LogCaptureFixture) -> None:
    hooks = GuardedHooks(None)
    hooks.handled("a", 0, 1, 0.1)
    hooks.failed("a", 0, ValueError(), "retry")
    hooks.behind("a", 1)
    assert caplog.records == []


@pytest.mark.parametrize("hooks", [Awaited(), Broken, object(), "hooks"])
def test_what_cannot_be_called_as_hooks_is_refused(hooks: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        GuardedHooks(hooks)
