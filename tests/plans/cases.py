"""All calls, and what is wrong with their plans."""

import random
from collections.abc import Iterator

from tests.plans.case import Case
from tests.plans.pages import PAGES
from tests.plans.plans import Explained, Plan
from tests.plans.reads import READS
from tests.plans.upkeep import UPKEEP
from tests.plans.writes import WRITES

CASES = READS | PAGES | WRITES | UPKEEP


def wrong_plans(session: Explained, total: int, *, before: int) -> dict[str, list[str]]:
    """What is wrong with the calls, each run so often before that its plans are looked at."""
    found = {}
    for name in random.sample([*CASES], len(CASES)):
        statement = CASES[name].statement.format(total=total)
        for _ in range(before):
            session.run(statement)
        error = session.run(statement)
        found[name] = [*_wrong(CASES[name], error, session.plans)]
    return {name: wrong for name, wrong in found.items() if wrong}


def _wrong(case: Case, error: str | None, plans: list[Plan]) -> Iterator[str]:
    if error != case.error:
        yield f"its error is {error}"
    if plans == []:
        yield "no statement was seen"
    for plan in plans:
        walked = {node.get("Relation Name") for node in plan.walks}
        if (
            not walked <= case.walks
            or plan.compiled
            or plan.rows > case.rows
            or plan.blocks > case.blocks
        ):
            yield f"{plan}\nat most {case.rows} rows, {case.blocks} blocks"
