"""The message of these tests."""

import msgspec


class Paid(msgspec.Struct):
    amount: int
