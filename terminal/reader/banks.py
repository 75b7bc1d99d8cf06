"""Which bank was lit in a frame: told by its place in the cycle, and believed only while its content agrees.

With a hardware strobe or trigger each exposure steps the cycle parallel, crossed, dark. Where the cycle began is not known to software,
and after a gap in the numbers it is unknown again. But the dark frame gives itself away, and with it the place of the other two.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from terminal.reader.frame import Light

CYCLE = (Light.PARALLEL, Light.CROSSED, Light.DARK)
GRID_PX = 8  # every eighth pixel of every eighth row: 4,000 of 640x400, noise of their mean below a tenth of a grey level
MARGIN_GREY = 2.0  # the dark frame must lie this far below its neighbours, in grey levels,
MARGIN_SHARE = 0.08  # and by this share of them: lamps on mains flicker by several per cent
LIT_SHARE_MIN = 0.6  # of what this bank gave a cycle ago; less is a pulse cut short, or a hand that leaves
DARK_SHARE_MAX = 0.3  # of the lit frames' surplus; more is a pulse that reached into the dark frame
SMOOTHING = 0.5  # weight of the newest cycle in what is remembered of each light,
SMOOTHING_ODD = 0.2  # and of a frame that was not plausible: the scene may have changed, or the strobe missed a pulse


def level_of(pixels: NDArray[np.uint8]) -> float:
    """Mean grey level of a sparse grid over the picture: enough to tell lit from dark, some 20 us at 640x400."""
    return float(pixels[GRID_PX // 2 :: GRID_PX, GRID_PX // 2 :: GRID_PX].mean())


@dataclass(slots=True)
class BankTracker:
    """Labels the frames of a sensor whose light is stepped by its own exposures.

    cycle: lights in the order of the exposures, exactly one of them dark. Numbers count exposures.
    """

    cycle: tuple[Light, ...] = CYCLE
    _window: deque[float] = field(init=False)
    _number: int | None = field(init=False, default=None)
    _dark_place: int | None = field(init=False, default=None)  # number modulo cycle of the dark exposures, once believed
    _candidate: int | None = field(init=False, default=None)
    _agreed: int = field(init=False, default=0)
    _remembered: dict[Light, float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.cycle.count(Light.DARK) != 1 or len(set(self.cycle)) != len(self.cycle):
            raise ValueError("a cycle has each light once, and dark among them: without it the place can't be recognised")
        self._window = deque(maxlen=len(self.cycle))

    @property
    def locked(self) -> bool:
        """Whether the place in the cycle is known."""
        return self._dark_place is not None

    def lose(self) -> None:
        """Forget the place: the pace changed, the light was off, or the camera was opened anew."""
        self._window.clear()
        self._number = self._dark_place = self._candidate = None
        self._agreed = 0
        self._remembered.clear()

    def begins(self, number: int) -> None:
        """Known by construction: exposure `number` is the first of a cycle (an external trigger that was just armed)."""
        self.lose()
        self._dark_place = (number + self.cycle.index(Light.DARK)) % len(self.cycle)
        self._number = number - 1

    def label(self, number: int, level: float) -> Light:
        """The light of exposure `number` with mean grey `level`; MIXED where it can't be told or content contradicts."""
        if self._number is not None and number != self._number + 1:
            self.lose()
        self._number = number
        self._window.append(level)
        seen = self._dark_in_window(number)
        if not self._believe(seen):
            return Light.MIXED
        light = self._by_place(number)
        return light if plausible(self._remembered, light, level) else Light.MIXED

    def _dark_in_window(self, number: int) -> int | None:
        """Place of the frame that is clearly the darkest of the last cycle; None where none is."""
        if len(self._window) < len(self.cycle):
            return None
        darkest, *others = sorted(self._window)
        if others[0] - darkest < max(MARGIN_GREY, MARGIN_SHARE * others[0]):
            return None
        dark, lit = _contrast(self._remembered)
        if dark is not None and lit is not None and darkest - dark > (lit - dark) / 2:
            return None  # all three are lit: the dimmer bank must not be taken for darkness
        age = len(self._window) - 1 - list(self._window).index(darkest)
        return (number - age) % len(self.cycle)

    def _believe(self, seen: int | None) -> bool:
        """Take what the window says into account; whether the place holds for this frame.

        One odd frame spoils as many windows as a cycle is long. So one window more must agree before a place is taken; and two cycles
        of windows before one is given up, since a strobe that stumbles several times in a row can agree with itself for one of them.
        """
        if seen is None:  # nothing near enough to tell: a place once known holds as long as no exposure is missing
            return self.locked
        if seen == self._dark_place:
            self._candidate, self._agreed = None, 0
            return True
        self._agreed = self._agreed + 1 if seen == self._candidate else 1
        self._candidate = seen
        if self._agreed < (2 * len(self.cycle) if self.locked else len(self.cycle) + 1):
            return False
        self._dark_place, self._candidate, self._agreed = seen, None, 0
        return True

    def _by_place(self, number: int) -> Light:
        assert self._dark_place is not None
        return self.cycle[(number - self._dark_place + self.cycle.index(Light.DARK)) % len(self.cycle)]


def _contrast(remembered: dict[Light, float]) -> tuple[float | None, float | None]:
    """The levels remembered of darkness and of the dimmer bank; None for both unless they are clearly apart."""
    dark = remembered.get(Light.DARK)
    lit = min((value for light, value in remembered.items() if light is not Light.DARK), default=None)
    if dark is None or lit is None or lit - dark < max(MARGIN_GREY, MARGIN_SHARE * lit):
        return None, None
    return dark, lit


def plausible(remembered: dict[Light, float], light: Light, level: float) -> bool:
    """Whether a frame is as bright as its light lately was; then remember it (the dictionary is updated).

    Too little in a lit frame is a pulse cut short; too much in a dark one is a pulse that reached into it.
    """
    before = remembered.get(light)
    dark, lit = _contrast(remembered)
    if before is None or dark is None or lit is None:
        fits = True
    elif light is Light.DARK:
        fits = level - dark <= DARK_SHARE_MAX * (lit - dark)
    else:
        fits = level - dark >= LIT_SHARE_MIN * (before - dark)
    weight = SMOOTHING if fits else SMOOTHING_ODD
    remembered[light] = level if before is None else weight * level + (1 - weight) * before
    return fits
