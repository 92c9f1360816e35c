"""Running the handlers of subscriptions, and publishing the horizon."""

import importlib
import inspect
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pgstore._core.log import Formatter
from pgstore._core.parameters import DEFAULT_LEASE
from pgstore.cli._app import argument, command, flag, option
from pgstore.cli._call import Call
from pgstore.cli._errors import USAGE, CommandError
from pgstore.cli._values import counted

if TYPE_CHECKING:
    from pgstore._async.subscription import AsyncSubscription
    from pgstore._sync.subscription import Subscription

    Found = Subscription[Any] | AsyncSubscription[Any]


@command("run", panel="Subscriptions")
def run(
    call: Call,
    place: Annotated[
        str,
        argument("MODULE:OBJECT", "A subscription, several, or a function that answers with them."),
    ],
    workers: Annotated[int, option("N", "How many partitions to work on at once.", least=1)] = 1,
    lease: Annotated[
        float, option("SECONDS", "After which others take over from a process that died.")
    ] = DEFAULT_LEASE,
    scheduled: Annotated[
        bool, flag("Write scheduled messages too, when they are due.", "--scheduled")
    ] = False,
    publish: Annotated[
        bool, flag("Publish the horizon too, for reads from standbys.", "--publish")
    ] = False,
) -> None:
    """Run the handlers of subscriptions.

    It ends by SIGTERM or Ctrl-C, when its batches are finished and the leases are given back. A
    second Ctrl-C ends it at once: the batch is rolled back, and others get the partition when the
    lease ends. Start it as often as you like: the processes share the partitions.

    The module is imported from the current folder, or wherever Python finds it. The subscriptions'
    store is the program's: --conninfo and --store are for a function that takes a store.

    \b
      pgstore run bank.projections:balances --workers 4
    """
    import asyncio

    log_on_stderr()
    options: dict[str, Any]
    options = {"workers": workers, "lease": lease, "scheduled": scheduled}
    if publish:  # otherwise where the program's store reads from a standby
        options["publish"] = True
    found = imported(place)
    if callable(found) and not _is_subscription(found):
        parameters = inspect.signature(found).parameters.values()
        if any(each.default is each.empty for each in parameters):
            with call.messages() as store:
                _run(_several(place, found(store)), call, options)
            return
        found = found()
        if inspect.iscoroutine(found):
            found = asyncio.run(found)
    _run(_several(place, found), call, options)


@command("publish", panel="Operations")
def publish(call: Call) -> None:
    """Publish up to which position standbys can be read across streams.

    Run it beside the primary, where no program does so with `run`; started twice, one of the two
    publishes, and the other takes over within a second. It ends by SIGTERM or Ctrl-C.

    \b
      pgstore publish
    """
    log_on_stderr()
    with call.messages() as store:
        call.out.note(f"Publishing the horizon of {call.store} …")
        store.run(publish=True)
    call.out.note("Ended.")


def log_on_stderr() -> None:
    on_stderr = logging.StreamHandler()
    on_stderr.setFormatter(Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[on_stderr])


def imported(place: str) -> Any:
    """The object that MODULE:OBJECT names."""
    module_name, _, attribute = place.partition(":")
    if not module_name or not attribute or module_name.startswith("."):
        raise CommandError(f"not MODULE:OBJECT: {place!r}", code=USAGE)
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise CommandError(f"there is no module {module_name!r} here", code=USAGE) from None
    found: Any = module
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise CommandError(f"{module_name} has no {attribute!r}", code=USAGE) from None
    return found


def _several(place: str, found: Any) -> "list[Found]":
    several = [found] if _is_subscription(found) else found
    if not isinstance(several, list | tuple) or not all(map(_is_subscription, several)):
        raise CommandError(
            f"{place} is no subscription and no list of them: {type(found).__name__}", code=USAGE
        )
    if not several:
        raise CommandError(f"{place} is empty", code=USAGE)
    if len({id(each.store) for each in several}) > 1:
        raise CommandError(
            f"the subscriptions of {place} are of several stores: run one for each", code=USAGE
        )
    return list(several)


def _is_subscription(found: object) -> bool:
    from pgstore._async.subscription import AsyncSubscription
    from pgstore._sync.subscription import Subscription

    return isinstance(found, Subscription | AsyncSubscription)


def _run(subscriptions: "list[Found]", call: Call, options: dict[str, Any]) -> None:
    import asyncio

    from pgstore._async.subscription import AsyncSubscription
    from pgstore._compat import signals

    names = ", ".join(each.name for each in subscriptions)
    call.out.note(f"Running {names} with {counted(options['workers'], 'worker')} …")
    store: Any = subscriptions[0].store
    if isinstance(subscriptions[0], AsyncSubscription):
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            # Not asyncio's, which would cancel one worker, and wait for the others.
            signal.signal(signal.SIGINT, signals.interrupt)
        asyncio.run(_run_async(store, subscriptions, options))
    else:
        with store:
            store.run(*subscriptions, **options)
    call.out.note("Ended.")


async def _run_async(store: Any, subscriptions: "list[Found]", options: dict[str, Any]) -> None:
    async with store:
        await store.run(*subscriptions, **options)
