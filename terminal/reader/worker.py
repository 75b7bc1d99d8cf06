"""One thread for calls that may never come back, each with a deadline.

A wedged camera driver blocks whoever calls it. So one daemon thread calls, everybody else waits with a deadline, and no second thread is
ever started: a call that has not come back keeps the next one waiting, it does not pile up beside it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
STOP_LIMIT_S = 1.0


class Overdue(Exception):
    """The call did not come back within its deadline; the worker is still in it."""


class Worker:
    """Runs calls one after the other on one daemon thread; used by one caller at a time.

    A daemon, because a thread that a driver holds must not hold the process as well.
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._last: Future[Any] | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], T], deadline_s: float) -> T:
        """What `function` returns or raises. Raises Overdue after `deadline_s`, also while an earlier call is not back."""
        if self._last is not None and not self._last.done():
            try:
                self._last.exception(timeout=max(deadline_s, 0.0))
            except TimeoutError:
                raise Overdue(f"an earlier call has not come back for another {deadline_s:.1f} s") from None
        future: Future[T] = Future()
        self._last = future
        self._calls.put((function, future))
        try:
            return future.result(timeout=max(deadline_s, 0.0))
        except TimeoutError:
            if future.done():
                raise  # the function itself raised it
            raise Overdue(f"a call has not come back within {deadline_s:.1f} s") from None

    @property
    def stuck(self) -> bool:
        """Whether a call is still not back."""
        return self._last is not None and not self._last.done()

    def stop(self) -> None:
        """No more calls; the thread ends after the one it is in, if that ever ends."""
        self._calls.put(None)
        if not self.stuck:
            self._thread.join(STOP_LIMIT_S)

    def _run(self) -> None:
        while (job := self._calls.get()) is not None:
            function, future = job
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)
            del job, function, future  # a frame must not be kept alive while nothing is asked for
