"""At the end of an event loop a store leaves the engine of the application alone."""

import asyncio
import logging

import pytest

from pgstore import AsyncMessageStore
from tests.frameworks.engines import async_engine_of
from tests.frameworks.messages import Paid


def test_a_program_on_an_engine_ends_without_an_error(
    conninfo: str, shared: str, stream: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        engine = async_engine_of(conninfo)
        store = AsyncMessageStore[Paid](engine, store=shared, messages=Paid)
        await store.write(stream, Paid(1))  # and nobody closes the store
        await engine.dispose()

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    assert caplog.records == []
