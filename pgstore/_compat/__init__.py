"""Where asyncio and threads differ: a module a subject, and each name twice, once with `async`."""
