from __future__ import annotations

import threading

import pytest

from terminal.reader.worker import Overdue, Worker


def test_calls_come_back_with_their_result_or_error() -> None:
    worker = Worker("test")
    assert worker.call(lambda: 7, 5.0) == 7
    with pytest.raises(ZeroDivisionError):
        worker.call(lambda: 1 // 0, 5.0)
    with pytest.raises(TimeoutError, match="its own"):
        worker.call(lambda: (_ for _ in ()).throw(TimeoutError("its own")), 5.0)
    assert not worker.stuck
    worker.stop()


def test_a_call_that_hangs_is_overdue_and_never_grows_a_second_thread() -> None:
    worker, release = Worker("hanging"), threading.Event()
    with pytest.raises(Overdue):
        worker.call(release.wait, 0.01)
    for _ in range(5):
        with pytest.raises(Overdue):
            worker.call(lambda: 1, 0.01)
    assert worker.stuck
    assert sum(thread.name == "hanging" for thread in threading.enumerate()) == 1
    release.set()
    assert worker.call(lambda: 2, 5.0) == 2
    worker.stop()


def test_a_hanging_worker_does_not_hold_the_process() -> None:
    worker = Worker("daemon")
    assert worker._thread.daemon
    worker.stop()
    worker._thread.join(5)
    assert not worker._thread.is_alive()
