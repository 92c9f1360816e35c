"""What tags and conditional appends cost: `python -m benchmarks.conditions`.

Everything runs on one server, reached over TCP, with the settings of the other measurements. A
store with few and one with many tagged messages are measured by one client and by many, each a
process with connections of its own that stay open. In a round each way has its turn for a moment,
in an order of its own.
"""
