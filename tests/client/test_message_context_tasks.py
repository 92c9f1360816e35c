"""The context of tasks, which threads have not: a task takes that of its maker along."""

import asyncio
from typing import Any

from pgstore import AsyncMessageStore
from tests.client.messages import EventA, EventB


async def test_a_task_that_outlives_its_handler_keeps_the_context_of_its_own_call(
    conninfo: str, shared: str, category: str
) -> None:
    async with AsyncMessageStore[Any](conninfo, store=shared, messages=EventA | EventB) as store:
        await store.write_many(f"{category}-1", [EventA(1), EventA(2)])
        subscription = store.subscription(category, category=category)
        over = asyncio.Event()
        tasks: list[asyncio.Task[None]] = []

        async def later(number: int) -> None:
            await over.wait()
            await store.write(f"later{category}-{number}", EventB("x"))

        @subscription.handler
        async def start(message: EventA) -> None:
            tasks.append(asyncio.create_task(later(message.num)))

        assert await store.run_once(subscription) == 2
        over.set()
        await asyncio.gather(*tasks)
        async for cause in store.read(f"{category}-1"):
            effect = await store.last(f"later{category}-{cause.message.num}")
            assert effect is not None
            assert effect.causation_id == str(cause.message_id)
