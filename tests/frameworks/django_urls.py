"""Set by the tests that make requests."""

from typing import Any

urlpatterns: list[Any] = []
