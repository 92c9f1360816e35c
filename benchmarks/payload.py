"""What every contender writes: an event of about 200 bytes of JSON."""

from uuid import uuid4

import msgspec

TYPE = "Deposited"
NOTE = "a payment of the usual kind, for the usual reasons, by the usual people, and no more"


class Deposited(msgspec.Struct):
    """The event. `reference` tells events apart: an id, or the time of its writing."""

    amount: int
    currency: str
    reference: str
    note: str


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Deposited).decode


def deposited(amount: int = 100, reference: str | None = None) -> Deposited:
    return Deposited(amount, "EUR", reference or str(uuid4()), NOTE)


SAMPLE = encode(deposited(reference="00000000-0000-4000-8000-000000000000")).decode()
