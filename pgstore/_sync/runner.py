# Generated from pgstore/_async/runner.py by `python tools/unasync.py`.

"""Running the handlers of subscriptions."""

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from pgstore._compat.events import Event
from pgstore._compat.signals import stopped_by_signals
from pgstore._compat.tasks import Task, pause
from pgstore._core import statements as s
from pgstore._core.deadlines import Looks, deadline, left
from pgstore._core.log import log
from pgstore._core.messages import StoredMessage
from pgstore._core.outages import PACE
from pgstore._core.parameters import array, interval
from pgstore._core.subscriptions import PARTITION, PAUSE, SUBSCRIPTION, TOKEN, Batch, RunnerHooks
from pgstore._core.translation import passes
from pgstore._sync.delivery import Delivery, Lease
from pgstore._sync.lending import Borrower
from pgstore._sync.opening import Opening
from pgstore._sync.publisher import Publisher
from pgstore._sync.scheduler import Scheduler
from pgstore._sync.subscription import Subscription
from pgstore._sync.waker import Waker
from pgstore.errors import LeaseLostError, SubscriptionExistsError, SubscriptionNotFoundError

# How long a worker that found nothing waits at most. A lease of a worker that died, or a pause
# after a failure, ends without a notification: each look that finds nothing asks when the next one
# does, and the next look comes then. Leases and pauses that another process has begun since are
# found after this time.
_LOOK_ANYWAY = 2.0
# How long a worker stays with a partition that has more, before others get their turn.
_TURN = 1.0
_OTHERS_LOOK = 0.01
# In a flow, many messages now and then cost less than some again and again. Not with several
# partitions: there the next ones may only be another's.
_FLOW, _SOME = 0.02, 20
_TELL_EVERY = 10.0
# After `stop`: how long the server may take to answer a statement of ours; one of a handler may
# take as long as a lease. When it was silent once, the next ones have to be quick.
_ANSWER, _NEXT_ANSWER = 10.0, 1.0
_LOOK_FOR_SILENCE = 0.1


# It is given a function to call whenever the server has answered.
Work = Callable[[Callable[[], None]], None]
Beside = type[Scheduler] | type[Publisher]


class Runner:
    """Workers that claim partitions, hand their messages to the handlers, and acknowledge."""

    def __init__(
        self,
        database: Opening,
        waker: Waker,
        decode: Callable[[TupleRow], StoredMessage[Any]],
        subscriptions: Sequence[Subscription[Any]],
        *,
        lease: float,
        hooks: RunnerHooks,
        besides: Sequence[Beside] = (),
    ) -> None:
        self._database = database
        self._waker = waker
        self._decode = decode
        self._delivery = Delivery(database, hooks)
        self._by_name = {subscription.name: subscription for subscription in subscriptions}
        self._lease = lease
        self._hooks = hooks
        self._besides = besides
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._turn = 0
        self._workers = 1
        self._leases: set[Lease] = set()
        self._leases_lock = threading.Lock()
        self._abandoned: list[Lease] = []
        self._looks = Looks(_LOOK_ANYWAY)
        self._stopping = Event()
        self._idle = Event()
        self.ended = Event()  # of `run`

    def stop(self) -> None:
        """Finish the batches that have begun, give the leases back, and end."""
        self._database.silence.stopping = True
        self._stopping.set()
        self._waker.ring()

    def run(self, workers: int, *, signals: bool) -> None:
        """Work until `stop`, which SIGTERM and SIGINT call too with `signals`."""
        insisting = Task(self._insist, "pgstore-stop")
        try:
            with ExitStack() as stack:
                if signals:
                    stack.enter_context(stopped_by_signals(self.stop))
                self._until_connected(self._begin)
                self._run(workers)
        finally:
            self._stopping.set()
            self.ended.set()
            insisting.join()

    def _insist(self) -> None:
        """After `stop`, end the connections whose server is silent: nobody waits for these."""
        self._stopping.wait()
        ours, handlers = _ANSWER, max(self._lease, _ANSWER)
        while not self.ended.wait(_LOOK_FOR_SILENCE):
            if self._database.silence.cut(ours, handlers):
                if ours == _ANSWER:
                    log.warning("subscriptions: the server is silent, and not waited for")
                ours = _NEXT_ANSWER

    def _run(self, workers: int) -> None:
        # For each its transaction, and a connection of its handler's own; and two for the leases.
        source = self._database.source
        source.room = max(source.room, 2 * workers + 2)
        self._workers = workers
        handle = partial(self._repeat, self._work)
        tasks = [Task(handle, f"pgstore-worker-{n}") for n in range(workers)]
        for kind in self._besides:
            beside = kind(self._database, self._waker, self._stopping)
            tasks.append(Task(partial(self._repeat, beside.work), f"pgstore-{kind.task}"))
        keeper = Task(self._keep, "pgstore-leases")
        errors = []
        for task in tasks:
            try:
                task.join()
            except BaseException as error:
                errors.append(error)
                self.stop()
                if isinstance(error, KeyboardInterrupt):
                    break  # the second Ctrl-C: not to wait for the others either
        self._idle.set()  # not before: a handler that still runs keeps its lease
        try:
            keeper.join()
        except BaseException as error:
            errors.append(error)
        try:
            self._give_back()
        except psycopg.Error as error:
            log.warning("subscriptions: leases were not given back: %s", error)
        if errors:
            raise errors[0]

    def run_once(self, raise_errors: bool) -> int:
        """Handle what there is to handle now; how many messages that were."""
        for subscription in self._by_name.values():
            subscription.ensure()
            subscription.tell_unhandled()
        handled = 0
        try:
            while (claimed := self._claim(self._database)) is not None:
                handled += self._work_off(*claimed, raise_errors)
        finally:
            with suppress(psycopg.Error):
                self._give_back()
        return handled

    def _begin(self, through: Callable[[], None]) -> None:
        for subscription in list(self._by_name.values()):
            if not self._stopping.is_set():  # it would open a store that was closed meanwhile
                subscription.ensure()
                subscription.tell_unhandled()
        through()

    def _until_connected(self, work: Work) -> None:
        """Do it, and again as long as it meets what passes; it calls back when it gets through."""
        by = object()
        outage = self._database.outage
        try:
            while not self._stopping.is_set():
                try:
                    return work(partial(outage.over, by))
                except Exception as error:
                    if self._stopping.is_set() and isinstance(error, psycopg.OperationalError):
                        return  # of a store that was closed, or a connection that was cut
                    if not passes(error):
                        raise
                    outage.met(by, error)
                self._stopping.wait(PACE)
        finally:
            outage.left(by)

    def _repeat(self, work: Work) -> None:
        """Do it until `stop`; its error ends the others too."""
        try:
            while not self._stopping.is_set():
                self._until_connected(work)
        finally:
            self.stop()

    def _work(self, through: Callable[[], None]) -> None:
        self._database.source.make_room()
        self._give_back()
        borrower = Borrower(self._waker.lending, self._database)
        try:
            self._claim_and_handle(borrower, through)
        finally:
            borrower.give_back()

    def _claim_and_handle(self, borrower: Borrower, through: Callable[[], None]) -> None:
        flow = looks = False
        while True:
            seen = self._waker.counter.value
            if self._stopping.is_set():  # in this order: `stop` does it the other way round
                return
            looks = looks or self._looks.take()
            claimed = self._claim(borrower, looks)
            through()
            if claimed is None:
                flow = False
                looks = self._wait(seen, borrower)
                continue
            if looks:
                looks = False
                self._look_soon()
            self._waker.useful = True
            options = claimed[0].subscription.options
            handled = self._work_off(*claimed, False)
            if flow and _SOME <= handled < options.batch_size and options.partitions == 1:
                self._stopping.wait(_FLOW)
            flow = True

    def _wait(self, seen: int, borrower: Borrower) -> bool:
        """Wait for the signal, or until a look is due; whether it is this worker that looks."""
        while not self._stopping.is_set():
            if self._looks.take():
                return True
            if self._waker.wait(seen, self._looks.left(), borrower):
                break
        return False

    def _look_soon(self) -> None:
        """Have another worker look: this look has found work instead of when the next is due."""
        self._looks.within(0)
        if self._workers > 1:
            self._waker.ring()

    def _give_back(self) -> None:
        """Release what could not be released when it should: others need not wait for its end."""
        with self._leases_lock:
            leases, self._abandoned = self._abandoned, []
        while leases:
            statement, parameters = s.RELEASE_PARTITION, leases[-1].parameters
            if lost := leases[-1].lost:
                statement, parameters = s.ABANDON_PARTITION, (*parameters, lost)
            try:
                self._database.rows(statement, parameters)
            except SubscriptionNotFoundError:
                pass  # nor is there a lease
            except BaseException:
                with self._leases_lock:
                    self._abandoned += leases
                raise
            leases.pop()

    def _claim(
        self, database: Borrower | Opening, looks: bool = False
    ) -> tuple[Lease, Batch] | None:
        """Lease a partition that has work; and its first batch.

        A claim that looks and finds nothing notes when the next look is due, in the same statement.
        """
        self._turn += 1
        while True:
            by_name = dict(self._by_name)
            names = list(by_name)
            size = min(each.options.batch_size for each in by_name.values())
            first = self._turn % len(names)
            names = names[first:] + names[:first]  # so that each comes first in turn
            try:
                parameters = (array(names), self._name, interval(self._lease), str(size))
                rows = (
                    database.rows(s.LOOK, (*parameters, array(names)))
                    if looks
                    else database.rows(s.CLAIM_BATCH, parameters)
                )
            except SubscriptionNotFoundError as error:
                self._leave_out(error, "was dropped")
                continue
            if not rows:
                return None
            if looks and (seconds := rows[0][PAUSE]) is not None:
                self._looks.within(seconds)
                return None
            name, partition, token = (rows[0][at] for at in (SUBSCRIPTION, PARTITION, TOKEN))
            if name is not None:
                lease = Lease(by_name[name], partition, token)
                return lease, self._batch(lease, rows)
            pause(_OTHERS_LOOK)

    def _is_declared(self, subscription: Subscription[Any]) -> bool:
        """Tell whether a subscription still reads what the program declares; leave it out if not.

        Otherwise this program would acknowledge messages that a newer one has handlers for.
        """
        try:
            subscription.confirm()
        except SubscriptionExistsError as error:
            self._leave_out(error, "reads something else now")
            return False
        return True

    def _leave_out(
        self, error: SubscriptionNotFoundError | SubscriptionExistsError, why: str
    ) -> None:
        """Continue without a subscription; the last one's end is the run's."""
        with self._leases_lock:
            if list(self._by_name) in ([], [error.subscription]):
                raise error
            if self._by_name.pop(error.subscription, None) is not None:
                log.error("subscription %s %s: run without it", error.subscription, why)

    def _work_off(self, lease: Lease, batch: Batch, raise_errors: bool) -> int:
        """Handle what waits in a partition, for some time, and give it back."""
        handled = 0
        turn = deadline(_TURN)
        with self._leases_lock:
            self._leases.add(lease)
        try:
            while batch.messages:
                # By another filter than the program's, which has no handler for some of them.
                if batch.foreign and not self._is_declared(lease.subscription):
                    break
                count, released = self._delivery.handle(lease, batch, raise_errors)
                handled += count
                if released:
                    if count < len(batch.messages):
                        self._looks.within(0)  # a message has failed, and will be due
                    return handled
                if self._stopping.is_set() or not left(turn):
                    break
                batch = self._fetch(lease)
            self._database.rows(s.RELEASE_PARTITION, lease.parameters)
        except (LeaseLostError, SubscriptionNotFoundError) as error:
            log.warning("%s", error)
        except BaseException:
            with self._leases_lock:
                self._abandoned.append(lease)
            raise
        finally:
            with self._leases_lock:
                self._leases.discard(lease)
        return handled

    def _fetch(self, lease: Lease) -> Batch:
        rows = self._database.rows(
            s.FETCH_BATCH,
            (*lease.parameters, str(lease.subscription.options.batch_size)),
        )
        return self._batch(lease, rows)

    def _batch(self, lease: Lease, rows: list[TupleRow]) -> Batch:
        foreign = not lease.subscription.options.filter.admits(rows)
        batch = Batch.of(rows, self._decode)
        batch.foreign = foreign
        return batch

    def _keep(self) -> None:
        """Extend the leases of handlers that take long, and tell how far behind we are."""
        next_tell = time.monotonic() + _TELL_EVERY
        while not self._idle.wait(min(self._lease / 3, _TELL_EVERY)):
            try:
                self._extend_leases()
                if self._by_name and time.monotonic() >= next_tell:
                    next_tell = time.monotonic() + _TELL_EVERY
                    self._tell_how_far_behind()
            except Exception as error:
                if not passes(error):  # the workers tell of the others
                    raise

    def _extend_leases(self) -> None:
        with self._leases_lock:
            leases = list(self._leases)
        for lease in leases:
            try:
                self._database.rows(s.EXTEND_LEASE, lease.parameters)
            except (LeaseLostError, SubscriptionNotFoundError):
                continue  # who works on it finds out when it acknowledges

    def _tell_how_far_behind(self) -> None:
        furthest: dict[str, int] = dict(self._database.rows(s.BEHIND, ()))
        for name in list(self._by_name):
            self._hooks.behind(name, furthest.get(name, 0))
