"""A reader that is not there: exposes a simulated hand in real time, with the faults that real readers have.

Behind the same port as the camera; whoever holds it can't tell. What is shown is said through `stage`, or through the control socket.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass
from threading import Condition, Thread

import numpy as np

from terminal.config import ReaderOptions
from terminal.reader.frame import Frame, Light, Pace, ReaderError, ReaderStalled
from terminal.simulation.control import ControlServer
from terminal.simulation.optics import noise_tile
from terminal.simulation.scene import render_scene
from terminal.simulation.show import Stage

log = logging.getLogger(__name__)

CYCLE = (Light.PARALLEL, Light.CROSSED, Light.DARK)
QUEUE_MAX = 3
"""Frames that wait to be read; older ones are dropped, as a camera does."""

CONTROL_DELAY_FRAMES = 2
"""A change of the light acts this many frames after it was asked for."""

UNREAD_PAUSE_S = 0.5
"""Nobody has read for this long: exposures are counted, but not computed."""

READOUT_S = 0.004
"""From the end of an exposure to the frame in memory, as small global-shutter sensors take."""

CLOSE_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Faults:
    """How often the reader errs, as shares of all frames."""

    dropped: float = 0.005  # never delivered: a gap in the numbers
    mixed: float = 0.005  # straddles a switch of the banks, and is labelled so
    mislabelled: float = 0.001  # straddles a switch or is of another bank, and nobody noticed

    def __post_init__(self) -> None:
        if not all(0 <= share <= 1 for share in (self.dropped, self.mixed, self.mislabelled)):
            raise ValueError("faults are shares between 0 and 1.")


class SimulatedReader:
    """`Reader` over a `Stage`. One daemon thread exposes at `rate_hz`; the newest QUEUE_MAX frames wait for `read`."""

    def __init__(self, options: ReaderOptions, faults: Faults | None = None) -> None:
        self._options = options
        self._faults = faults or Faults()
        self._size = (options.height_px, options.width_px)
        self.stage = Stage(options.simulated_seed, self._size)
        self._rng = np.random.default_rng([options.simulated_seed, 0x5E])
        self._ready = Condition()
        self._frames: deque[Frame] = deque(maxlen=QUEUE_MAX)
        self._pace = Pace.ACTIVE
        self._lit_from = 0  # number of the first frame that sees the banks as they were last set
        self._number = 0
        self._last_read_s = 0.0
        self._failure: Exception | None = None
        self._thread: Thread | None = None
        self._stopping = False
        self._control: ControlServer | None = None

    def open(self) -> None:
        """Start exposing. Raises ReaderError when it is open already, or the control socket can't be made."""
        if self._thread is not None:
            raise ReaderError("the simulated reader is open already. Close it first.")
        if self._options.control_socket is not None:
            self._control = ControlServer(self._options.control_socket, self.stage)
            self._control.start()
        noise_tile()  # made now, not in the first frame's time
        self._stopping, self._failure = False, None
        self._frames.clear()
        self._last_read_s = time.monotonic()
        self._thread = Thread(target=self._run, name="simulated-reader", daemon=True)
        self._thread.start()
        log.info("simulated reader open size=%dx%d rate_hz=%g", self._size[1], self._size[0], self._options.rate_hz)

    def read(self, deadline_s: float) -> Frame:
        """The oldest of the frames that wait. Raises ReaderStalled after `deadline_s`, ReaderError when closed or broken."""
        with self._ready:
            self._last_read_s = time.monotonic()
            until = self._last_read_s + deadline_s
            while not self._frames:
                if self._failure is not None:
                    raise ReaderError(f"the simulated reader broke ({self._failure}). Start the terminal again.") from self._failure
                if self._thread is None:
                    raise ReaderError("the simulated reader is closed. Open it first.")
                left = until - time.monotonic()
                if left <= 0:
                    raise ReaderStalled(f"no frame within {deadline_s:g} s")
                self._ready.wait(left)
            return self._frames.popleft()

    def pace(self, pace: Pace) -> None:
        """Full rate with alternating banks, or few dark frames. Acts CONTROL_DELAY_FRAMES later."""
        with self._ready:
            if pace is not self._pace:
                self._pace = pace
                self._lit_from = self._number + CONTROL_DELAY_FRAMES
                self._ready.notify_all()

    def close(self) -> None:
        """Stop exposing; harmless when closed."""
        with self._ready:
            thread, self._thread = self._thread, None
            self._stopping = True
            self._frames.clear()
            self._ready.notify_all()
        if self._control is not None:
            self._control.stop()
            self._control = None
        if thread is not None:
            thread.join(CLOSE_LIMIT_S)
            if thread.is_alive():
                raise ReaderError(f"the simulated reader did not stop within {CLOSE_LIMIT_S:g} s. Restart the terminal.")

    def _run(self) -> None:
        try:
            self._expose_until_closed()
        except Exception as error:
            # Whoever reads is told; a thread that died in silence would look like a stalled camera.
            log.exception("simulated reader broke")
            with self._ready:
                self._failure = error
                self._ready.notify_all()

    def _expose_until_closed(self) -> None:
        due_s = time.monotonic()
        while True:
            with self._ready:
                pace = self._pace
                period_s = 1 / (self._options.rate_hz if pace is Pace.ACTIVE else self._options.idle_rate_hz)
                while not self._stopping and pace is self._pace and (wait_s := due_s - time.monotonic()) > 0:
                    self._ready.wait(wait_s)
                if self._stopping:
                    return
                if pace is not self._pace:
                    due_s = min(due_s, time.monotonic())
                    continue
                now = time.monotonic()
                # The sensor does not wait: exposures that this machine was too slow for are gaps in the numbers.
                missed = int((now - due_s) / period_s)
                self._number += missed
                due_s += missed * period_s
                number, captured_s = self._number, due_s
                self._number += 1
                due_s += period_s
                unread = now - self._last_read_s > UNREAD_PAUSE_S + 2 * period_s
            frame = None if unread else self._frame(number, captured_s, pace)
            if frame is not None:
                self._deliver(frame, min(self._options.exposure_us * 1e-6 + READOUT_S, 0.9 * period_s))

    def _deliver(self, frame: Frame, after_s: float) -> None:
        """Hand a frame out no earlier than a sensor could."""
        with self._ready:
            while not self._stopping and (wait_s := frame.captured_s + after_s - time.monotonic()) > 0:
                self._ready.wait(wait_s)
            if not self._stopping:
                self._frames.append(frame)
                self._ready.notify_all()

    def _frame(self, number: int, captured_s: float, pace: Pace) -> Frame | None:
        light = CYCLE[number % len(CYCLE)]
        before = pace if number >= self._lit_from else (Pace.IDLE if pace is Pace.ACTIVE else Pace.ACTIVE)
        if before is Pace.IDLE:
            light = Light.DARK
        label, shown = light, light
        if before is Pace.ACTIVE:
            chance = float(self._rng.random())
            if chance < self._faults.dropped:
                return None
            chance -= self._faults.dropped
            if chance < self._faults.mixed:
                label = shown = Light.MIXED
            elif chance < self._faults.mixed + self._faults.mislabelled:
                shown = Light.MIXED if self._rng.random() < 0.5 else CYCLE[(number + 1) % len(CYCLE)]
        options = self._options
        pixels, _ = render_scene(
            self.stage.actors(captured_s), shown, self.stage.conditions(), self._rng, self._size, options.exposure_us, options.gain
        )
        pixels.flags.writeable = False
        return Frame(number, pixels, label, captured_s, options.exposure_us, options.gain)
