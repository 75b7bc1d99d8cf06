"""Light and labels as one: what to do with the banks at each pace, and which light a given exposure saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from terminal.config import ReaderOptions
from terminal.reader.banks import CYCLE, BankTracker, plausible
from terminal.reader.frame import Light
from terminal.reader.light import Banks, Switcher

SWITCH_MARGIN_S = 0.0005  # around an exposure: LED rise and fall, and how well the two clocks agree
OFF_SETTLE_S = 0.002  # after the banks went off: a pulse that had begun may still end


@dataclass(frozen=True, slots=True)
class Exposure:
    """What is known of one exposure but its picture. Times in seconds of the monotonic clock; level: mean grey."""

    number: int
    start_s: float
    exposure_s: float
    period_s: float
    level: float


class Lighting(Protocol):
    """Who decides which bank is lit: the sensor's strobe, an external trigger, or this program."""

    def active(self) -> None:
        """A shopper is expected: banks alternate."""

    def idle(self) -> None:
        """Banks off."""

    def label(self, exposure: Exposure) -> Light:
        """The light of the next exposure in order; called for each one."""

    def close(self) -> None:
        """Banks off, pins given back."""


class _Common:
    """Banks that are off while idle: every exposure after that is dark by construction."""

    def __init__(self, banks: Banks, clock: Callable[[], float]) -> None:
        self._banks, self._clock = banks, clock
        self._is_active = False
        self._since_s = clock()

    def _dark_by_construction(self, exposure: Exposure) -> Light | None:
        """DARK or MIXED while idle, MIXED for what was exposed before the pace changed, None where it has to be told."""
        if exposure.start_s < self._since_s + OFF_SETTLE_S:
            return Light.MIXED
        return None if self._is_active else Light.DARK


class SensorTimed(_Common):
    """Strobe or trigger: hardware steps the cycle with each exposure; pins only let the pulses through."""

    def __init__(self, banks: Banks, clock: Callable[[], float], *, armed_by_us: bool) -> None:
        super().__init__(banks, clock)
        self._armed_by_us = armed_by_us
        self._fresh = False
        self._tracker = BankTracker()

    def active(self) -> None:
        """Let the strobe's pulses through; asked again, for that much longer."""
        self._banks.enable()
        if not self._is_active:
            self._tracker.lose()
            self._is_active, self._fresh, self._since_s = True, True, self._clock()

    def idle(self) -> None:
        """Both drivers disabled."""
        self._banks.off()
        if self._is_active:
            self._is_active, self._since_s = False, self._clock()

    def label(self, exposure: Exposure) -> Light:
        """By place in the cycle and content; a trigger begins its cycle with the first exposure after the banks were enabled."""
        if self._is_active and not self._banks.on:
            self.idle()  # the guard put them out: nobody had asked for light in a long time
        known = self._dark_by_construction(exposure)
        if not self._is_active or exposure.start_s < self._since_s:
            return known or Light.MIXED
        if self._fresh and self._armed_by_us:
            self._tracker.begins(exposure.number)
        self._fresh = False
        told = self._tracker.label(exposure.number, exposure.level)
        return known or told

    def close(self) -> None:
        """Off, pins given back."""
        self._banks.close()


class SoftwareTimed(_Common):
    """No wiring but the banks: switched in the dark interval by this program; a frame is asked what it saw, and checked."""

    def __init__(self, banks: Banks, clock: Callable[[], float], switcher: Switcher | None = None) -> None:
        super().__init__(banks, clock)
        self._switcher = switcher or Switcher(banks, CYCLE, clock)
        self._remembered: dict[Light, float] = {}

    def active(self) -> None:
        """Begin to step."""
        if not self._is_active:
            self._remembered.clear()
            self._switcher.start()
            self._is_active, self._since_s = True, self._clock()

    def idle(self) -> None:
        """Stop stepping, both off."""
        self._switcher.stop()
        if self._is_active:
            self._is_active, self._since_s = False, self._clock()

    def label(self, exposure: Exposure) -> Light:
        """By the recorded switches; content has a veto."""
        known = self._dark_by_construction(exposure)
        if self._is_active:
            self._switcher.observe(exposure.start_s, exposure.exposure_s, exposure.period_s)
        if known is not None:
            return known
        light = self._switcher.lit_during(exposure.start_s, exposure.exposure_s, SWITCH_MARGIN_S)
        if light is Light.MIXED or not plausible(self._remembered, light, exposure.level):
            return Light.MIXED
        return light

    def close(self) -> None:
        """Off, thread and pins given back."""
        self._switcher.stop()
        self._banks.close()


def lighting(options: ReaderOptions, banks: Banks, clock: Callable[[], float]) -> Lighting:
    """The lighting that `[reader] bank_order` names."""
    if options.bank_order == "software":
        return SoftwareTimed(banks, clock)
    return SensorTimed(banks, clock, armed_by_us=options.bank_order == "trigger")
