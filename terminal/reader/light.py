"""The lamps: two near-infrared banks and the visible ring, through gpiozero.

Everything is off until told, never are both banks lit by software, and a bank that was left on is put out by a guard of its own. The
driver board must limit the on-time as well (see README.md): software is the second line, not the first.
"""

from __future__ import annotations

import functools
import glob
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from terminal.config import ReaderOptions
from terminal.reader.frame import Light, ReaderError

logger = logging.getLogger(__name__)

# Labels of the chips that carry the 40-pin header; their numbers move between kernels.
HEADER_CHIPS = ("pinctrl-rp1", "pinctrl-bcm2711", "pinctrl-bcm2835")
BANK_ON_MAX_S = 0.25  # software mode lights a bank for one frame at a time; longer means that its switcher hangs
ENABLED_MAX_S = 200.0  # strobe and trigger: banks are enabled for a purchase; the longest patience is 170 s
GUARD_TICK_S = 0.05
STOP_LIMIT_S = 1.0
SWITCHES_KEPT = 64
PULSE_S = 1.2


@functools.cache
def pins_of_this_board() -> Any:
    """gpiozero's factory for the chip behind the header, found by its label; one for the process. Raises ReaderError in words."""
    try:
        import lgpio
        from gpiozero.pins.lgpio import LGPIOFactory
    except ImportError as error:
        raise ReaderError(
            f"The lamps need gpiozero and lgpio ({error}). Install the distribution's python3-gpiozero and python3-lgpio and make the "
            "virtual environment with --system-site-packages."
        ) from None
    return LGPIOFactory(chip=header_chip(lgpio))


def header_chip(lgpio: Any, devices: list[str] | None = None) -> int:
    """Number of the GPIO chip that carries the header, by label. `lgpio`: the library. Raises ReaderError."""
    devices = sorted(glob.glob("/dev/gpiochip*")) if devices is None else devices
    seen = {}
    for device in devices:
        number = int(device.removeprefix("/dev/gpiochip"))
        try:
            handle = lgpio.gpiochip_open(number)
        except Exception as error:  # lgpio has its own error type, which a stand-in need not have
            logger.warning("gpio chip=%s not_opened=%s", device, error)
            continue
        try:
            _, _, _, label = lgpio.gpio_get_chip_info(handle)
        finally:
            lgpio.gpiochip_close(handle)
        seen[label if isinstance(label, str) else bytes(label).decode(errors="replace").rstrip("\0")] = number
    for label in HEADER_CHIPS:
        if label in seen:
            return seen[label]
    found = ", ".join(sorted(seen)) or "none that may be opened"
    raise ReaderError(f"No GPIO chip of a Pi's header here (found: {found}). Check the board, and that the user is in group gpio.")


class Banks:
    """The two banks as pins. `factory`: gpiozero's; `clock`: monotonic seconds.

    Software mode: the pin is the bank. Strobe and trigger: the pin enables the bank's driver, the sensor's strobe times it.
    """

    def __init__(self, pins: tuple[int, int], factory: Any, clock: Callable[[], float] = time.monotonic) -> None:
        import gpiozero

        self._lock = threading.Lock()
        self._clock = clock
        self._on_until_s: float | None = None
        self._closed = threading.Event()
        self._lit = threading.Event()  # the guard sleeps while nothing is lit: most of the day
        self._devices: dict[Light, Any] = {}
        self._guard: threading.Thread | None = None
        try:
            for light, pin in zip((Light.PARALLEL, Light.CROSSED), pins, strict=True):
                self._devices[light] = gpiozero.DigitalOutputDevice(pin, initial_value=False, pin_factory=factory)
        except Exception as error:  # whatever a pin library raises, the lamps must end up off and the sentence must reach a person
            self.close()
            raise ReaderError(f"Pin {pin} can't drive a bank ({error}). Check [reader] bank_pins.") from None
        self._guard = threading.Thread(target=self._watch, name="light-guard", daemon=True)
        self._guard.start()

    def show(self, light: Light) -> None:
        """Light one bank for at most BANK_ON_MAX_S, or none for Light.DARK; the other goes off first."""
        with self._lock:
            for other, device in self._devices.items():
                if other is not light:
                    device.off()
            if light in self._devices:
                self._devices[light].on()
            self._mark(BANK_ON_MAX_S if light in self._devices else None)

    def enable(self) -> None:
        """Strobe and trigger: let the sensor's own pulses through to both banks, for at most ENABLED_MAX_S."""
        with self._lock:
            for device in self._devices.values():
                device.on()
            self._mark(ENABLED_MAX_S if self._devices else None)

    @property
    def on(self) -> bool:
        """Whether a bank is lit or enabled; False also after the guard put it out."""
        return self._on_until_s is not None

    def off(self) -> None:
        """Both banks off."""
        with self._lock:
            self._put_out()

    def close(self) -> None:
        """Off, and the pins given back; harmless when already closed."""
        self._closed.set()
        with self._lock:
            self._put_out()
            for device in self._devices.values():
                device.close()
            self._devices = {}
            self._lit.set()  # wakes the guard, which sees that it is over
        if self._guard is not None:
            self._guard.join(STOP_LIMIT_S)

    def put_out_if_overdue(self) -> bool:
        """What the guard does at each tick: whether a bank had been left on and is off now."""
        with self._lock:
            if self._on_until_s is None or self._clock() < self._on_until_s:
                return False
            self._put_out()
        logger.error("light put_out=true reason=left_on")
        return True

    def _put_out(self) -> None:
        for device in self._devices.values():
            device.off()
        self._mark(None)

    def _mark(self, limit_s: float | None) -> None:
        """Remember until when something may be lit; None: nothing is."""
        self._on_until_s = None if limit_s is None else self._clock() + limit_s
        if limit_s is None:
            self._lit.clear()
        else:
            self._lit.set()

    def _watch(self) -> None:
        while not self._closed.wait(GUARD_TICK_S):
            self.put_out_if_overdue()
            self._lit.wait()


class Switcher:
    """Software mode: steps the banks between exposures, and remembers when, so that a frame can be asked what it saw.

    The next dark interval is foretold from the frames seen: exposures begin every `period_s`. `wait(seconds) -> stop?` and `clock` are
    arguments for tests.
    """

    def __init__(
        self,
        banks: Banks,
        cycle: tuple[Light, ...],
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self._banks, self._cycle, self._clock = banks, cycle, clock
        self._stop = threading.Event()
        self._wait = wait or self._stop.wait
        self._lock = threading.Lock()
        self._phase: tuple[float, float] | None = None  # a middle of a dark interval, and the period
        self._switches: deque[tuple[float, float, Light]] = deque(maxlen=SWITCHES_KEPT)  # begun, done, light
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to step, as soon as a frame has told the phase."""
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="light-switcher", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Banks off, thread gone."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(STOP_LIMIT_S)
            self._thread = None
        self._record(Light.DARK)
        with self._lock:
            self._phase = None

    def observe(self, start_s: float, exposure_s: float, period_s: float) -> None:
        """A frame was exposed from `start_s`: the middle of the dark interval after it is where to switch."""
        with self._lock:
            self._phase = (start_s + exposure_s + (period_s - exposure_s) / 2, period_s)

    def lit_during(self, start_s: float, exposure_s: float, margin_s: float) -> Light:
        """The light throughout the exposure; MIXED where a switch fell into it or nearer than `margin_s`, or it is not known."""
        with self._lock:
            switches = list(self._switches)
        light = Light.MIXED
        if not switches or start_s - switches[-1][1] > BANK_ON_MAX_S:
            return light  # whoever switches has stopped, and the guard has put the bank out
        for begun_s, done_s, shown in switches:
            if done_s <= start_s - margin_s:
                light = shown
            elif begun_s < start_s + exposure_s + margin_s:
                return Light.MIXED
        return light

    def step_once(self) -> bool:
        """Wait for the next middle of a dark interval and switch; False when told to stop. One turn of the thread's loop."""
        with self._lock:
            phase = self._phase
        if phase is None:
            return not self._wait(GUARD_TICK_S)
        middle_s, period_s = phase
        now_s = self._clock()
        ahead = max(0, -int((middle_s - now_s) // period_s))
        if self._wait(max(0.0, middle_s + ahead * period_s - now_s)):
            return False
        self._record(self._next())
        return True

    def _next(self) -> Light:
        with self._lock:
            shown = self._switches[-1][2] if self._switches else self._cycle[-1]
        return self._cycle[(self._cycle.index(shown) + 1) % len(self._cycle)]

    def _record(self, light: Light) -> None:
        begun_s = self._clock()
        self._banks.show(light)
        with self._lock:
            self._switches.append((begun_s, self._clock(), light))

    def _run(self) -> None:
        while self.step_once():
            pass


def open_ring(options: ReaderOptions) -> Ring | None:
    """The ring of this board, None where `ring_pin` is absent. Raises ReaderError."""
    return None if options.ring_pin is None else Ring(options.ring_pin, pins_of_this_board())


class Ring:
    """The visible ring around the reader: one dimmable channel."""

    def __init__(self, pin: int, factory: Any) -> None:
        import gpiozero

        try:
            self._lamp: Any = gpiozero.PWMLED(pin, initial_value=0, pin_factory=factory)
        except Exception as error:  # as above: any pin library's error becomes a sentence
            raise ReaderError(f"Pin {pin} can't drive the ring ({error}). Check [reader] ring_pin.") from None

    def show(self, brightness: float) -> None:
        """Steady, 0 to 1."""
        self._lamp.value = min(1.0, max(0.0, brightness))

    def pulse(self) -> None:
        """Swell and fade until told otherwise: present your palm."""
        self._lamp.pulse(fade_in_time=PULSE_S / 2, fade_out_time=PULSE_S / 2)

    def close(self) -> None:
        """Off, and the pin given back; harmless when already closed."""
        if not self._lamp.closed:
            self._lamp.off()
            self._lamp.close()
