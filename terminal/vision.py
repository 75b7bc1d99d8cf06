"""The one vision thread: frames from the reader, looks and guidance to the main loop, and a supervisor for a reader that stalls."""

from __future__ import annotations

import asyncio
import enum
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from terminal.config import ReaderOptions
from terminal.palm.types import Guidance, Look
from terminal.reader.frame import Frame, Pace, Reader, ReaderEnded, ReaderError, ReaderStalled

log = logging.getLogger(__name__)

MAILBOX_MAX = 8
"""Looks and words that wait for the main loop; the oldest give way: only the latest count."""
RESTARTS_MAX = 5
RESTARTS_WINDOW_S = 60.0
RESTART_PAUSE_S = 0.5
FAULT_PAUSE_S = 20.0
"""Between two tries once the reader has a fault; the screen says so meanwhile."""
PUSH_ERRORS_MAX = 20
"""Frames in a row that the palm pipeline could not work on; then it is a fault."""
STOP_DEADLINE_S = 5.0
PAUSE_STEP_S = 0.1


class Pipeline(Protocol):
    """What is needed of `terminal.palm.pipeline.PalmPipeline`."""

    @property
    def model_version(self) -> str:
        """Of the signatures."""

    def push(self, frame: Frame) -> list[Look | Guidance]:
        """One more frame."""

    def reset(self) -> None:
        """Forget everything that was seen."""


class Health(enum.Enum):
    """How the vision thread is."""

    STARTING = "starting"
    WELL = "well"
    FAULT = "fault"  # `code` and `sentence` say why
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Seen:
    """One result for the main loop. `visit` says for which purchase the thread was looking."""

    visit: int
    what: Look | Guidance


class Vision:
    """`start`, then `look(visit)` and `rest()` from the main loop; `seen` and `changed` are called in the main loop."""

    def __init__(
        self,
        options: ReaderOptions,
        open_reader: Callable[[], Reader],
        make_pipeline: Callable[[], Pipeline],
        seen: Callable[[Seen], None],
        changed: Callable[[], None],
    ) -> None:
        self._options, self._open_reader, self._make_pipeline = options, open_reader, make_pipeline
        self._seen, self._changed = seen, changed
        self._loop = asyncio.get_running_loop()
        self._mailbox: deque[Seen] = deque(maxlen=MAILBOX_MAX)
        self._posted = False
        self._lock = threading.Lock()
        self._visit = 0  # 0: resting
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._restarts: deque[float] = deque(maxlen=RESTARTS_MAX + 1)
        self._lost_why = ""  # what was said of the reader last; empty while it gives frames
        self.health = Health.STARTING
        self.code = self.sentence = ""
        self.model_version = ""
        self.frames = 0  # read from the reader, ever
        self.frames_missed = 0  # gaps in their numbers while looking
        self.frame_s = 0.0  # monotonic, when the last one came
        self.restarts = 0
        self.dropped = 0  # results that gave way in the mailbox

    def start(self) -> None:
        """Open the reader and load the models, in the thread."""
        self._thread = threading.Thread(target=self._run, name="vision", daemon=True)
        self._thread.start()

    def look(self, visit: int) -> None:
        """A shopper is expected: full pace; results carry `visit` (above 0)."""
        self._visit = visit

    def rest(self) -> None:
        """Nobody is expected: few frames, nothing is looked at, what was seen is forgotten."""
        self._visit = 0
        with self._lock:
            self._mailbox.clear()

    async def stop(self) -> None:
        """End the thread; gives up on one that is stuck in a driver after STOP_DEADLINE_S."""
        self._stopping.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, STOP_DEADLINE_S)
            if self._thread.is_alive():
                log.error("vision thread did not stop within %g s; it is left behind", STOP_DEADLINE_S)

    # In the main loop.

    def _drain(self) -> None:
        with self._lock:
            self._posted = False
            waiting = list(self._mailbox)
            self._mailbox.clear()
        for each in waiting:
            if each.visit == self._visit:
                self._seen(each)

    # In the vision thread.

    def _run(self) -> None:
        try:
            pipeline = self._make_pipeline()
            self.model_version = pipeline.model_version
        except Exception as error:
            log.exception("vision models can't be used")
            self._become(Health.FAULT, "model", f"The models can't be used ({error}).")
            return
        while not self._stopping.is_set():
            try:
                self._watch(pipeline)
            except ReaderEnded as ended:
                log.info("vision recording has ended: %s", ended)
                self._become(Health.FAULT, "reader", "The recording has no more frames.")
                return
            except ReaderError as error:
                self._recover(str(error) or "no frame in time")
            except Exception as error:
                log.exception("vision failed")
                self._recover(str(error))
        self._become(Health.STOPPED, "", "")

    def _recover(self, why: str) -> None:
        """Try again soon, RESTARTS_MAX times in RESTARTS_WINDOW_S; after that it is a fault, tried again now and then."""
        now = time.monotonic()
        self.restarts += 1
        self._restarts.append(now)
        recent = sum(1 for at in self._restarts if now - at <= RESTARTS_WINDOW_S)
        # Said when it happens and when it changes, not at each try: a reader that is gone for a night must not fill a disk.
        level = logging.WARNING if why != self._lost_why else logging.DEBUG
        self._lost_why = why
        log.log(level, "vision reader lost why=%r restarts=%d in the last %g s", why, recent, RESTARTS_WINDOW_S)
        fault = recent > RESTARTS_MAX
        if fault:
            self._become(Health.FAULT, "reader", why)
        until = now + (FAULT_PAUSE_S if fault else RESTART_PAUSE_S)
        while time.monotonic() < until and not self._stopping.wait(PAUSE_STEP_S):
            pass

    def _become(self, health: Health, code: str, sentence: str) -> None:
        if (health, code, sentence) == (self.health, self.code, self.sentence):
            return
        self.health, self.code, self.sentence = health, code, sentence
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._changed)

    def _watch(self, pipeline: Pipeline) -> None:
        """One life of the reader: from opening to failing or stopping. Raises ReaderError."""
        reader = self._open_reader()
        visit, errors, last_number = -1, 0, -1
        try:
            while not self._stopping.is_set():
                if visit != self._visit:
                    before, visit = visit, self._visit
                    pipeline.reset()
                    if (before > 0) != (visit > 0) or before < 0:
                        reader.pace(Pace.ACTIVE if visit else Pace.IDLE)
                    last_number = -1
                frame = reader.read(self._deadline_s(visit))
                self.frames += 1
                self.frame_s = time.monotonic()
                if visit and 0 <= last_number < frame.number:
                    self.frames_missed += frame.number - last_number - 1
                last_number = frame.number
                self._become(Health.WELL, "", "")
                self._lost_why = ""
                if visit:
                    errors = self._push(pipeline, frame, visit, errors)
        finally:
            pipeline.reset()
            reader.close()

    def _deadline_s(self, visit: int) -> float:
        deadline_s = self._options.frame_deadline_s
        return deadline_s if visit else max(deadline_s, 3 / self._options.idle_rate_hz)

    def _push(self, pipeline: Pipeline, frame: Frame, visit: int, errors: int) -> int:
        try:
            results = pipeline.push(frame)
        except Exception as error:
            errors += 1
            if errors == 1:
                log.exception("vision frame=%d could not be worked on", frame.number)
            if errors >= PUSH_ERRORS_MAX:
                raise ReaderStalled(f"{errors} frames in a row could not be worked on ({error})") from None
            return errors
        if results:
            with self._lock:
                for result in results:
                    self.dropped += len(self._mailbox) == MAILBOX_MAX
                    self._mailbox.append(Seen(visit, result))
                post, self._posted = not self._posted, True
            if post and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._drain)
        return 0
