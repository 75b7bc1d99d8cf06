"""From labelled frames to looks: one signature for each light, of a hand at rest, or the word that helps the shopper.

Each lit frame is searched by itself and normalised by its own hand, so that a hand need not stand still between one light and the next;
it must only be slow enough not to blur. A look is told as soon as both lights are there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from terminal.config import PalmOptions
from terminal.palm import quality
from terminal.palm.canonical import canonical_palm
from terminal.palm.daylight import Lit, exposure_ratio, hand_at, searchable, without_daylight
from terminal.palm.encoder import Encoder
from terminal.palm.finder import HandFinder
from terminal.palm.guidance import Prompter, advice
from terminal.palm.types import Guidance, Hand, Look, NoHand
from terminal.reader.frame import Frame, Light

TRACK_S_MAX = 0.15
"""A hand that was seen longer ago than this is searched anew, and its speed is not known."""

SUPERVISED_EVERY_FRAMES = 4
"""The whole frame is searched this often though a hand is tracked: a second one may have come. Every tenth of a second at full rate: of
two hands that come in together one is often found first, and the service needs only three looks to be sure of it."""

PAIR_S_MAX = 0.06
"""Both lights of a look were taken within this time."""

DARK_S_MAX = 0.12
"""A dark frame serves lit ones up to this far away in time."""

ALONE_AFTER_S = 0.5
"""Where the other light was not seen at all for this long, looks with one light alone are told."""

STILL_SPANS_PER_S_MAX = 4.0
"""About 170 mm/s: 0.7 mm while a frame is exposed for 4 ms, two thirds of a pixel of the canonical palm twice over."""


class Finding(Protocol):
    """What the pipeline needs of a hand finder."""

    def find(self, image: NDArray[np.uint8], hint: Hand | None = None) -> Hand | NoHand:
        """As HandFinder.find."""


class Encoding(Protocol):
    """What the pipeline needs of an encoder."""

    version: str

    def encode(self, palms: NDArray[np.uint8]) -> NDArray[np.float32]:
        """As Encoder.encode."""


class Measuring(Protocol):
    """What the pipeline needs to know of a palm's quality."""

    def __call__(self, palm: NDArray[np.uint8], *, clipped: float = 0.0, speed_spans_s: float = 0.0) -> quality.Quality:
        """As quality.measure."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A still, well-placed palm in one light, waiting for its partner."""

    frame_number: int
    captured_s: float
    hand: Hand
    speed_spans_s: float
    lit: Lit = field(repr=False)
    stages_us: dict[str, int] = field(default_factory=dict)


class PalmPipeline:
    """Looks and guidance from frames, in the order in which they were taken. Used by one thread at a time.

    Nothing that was seen outlives `reset`, or the next frames where it is not called.
    """

    def __init__(
        self,
        options: PalmOptions,
        finder: Finding | None = None,
        encoder: Encoding | None = None,
        measure: Measuring = quality.measure,
    ) -> None:
        """Loads both models, warm. Raises ModelError with a sentence for a technician."""
        self._options = options
        self._finder = finder if finder is not None else HandFinder(options.hand_model, options.threads)
        self._encoder = encoder if encoder is not None else Encoder(options.palm_model, options.threads)
        self._measure = measure
        self._prompter = Prompter()
        self.reset()

    @property
    def model_version(self) -> str:
        """Of the signatures: only those of one version can be compared."""
        return self._encoder.version

    def reset(self) -> None:
        """Forget everything that was seen: between two shoppers."""
        self._prompter.reset()
        self._dark: Frame | None = None
        self._before: tuple[float, Hand] | None = None
        self._last: tuple[float, Hand] | None = None
        self._tracked_frames = 0
        self._waiting: dict[Light, _Seen] = {}
        self._light_seen_s: dict[Light, float] = {}

    def push(self, frame: Frame) -> list[Look | Guidance]:
        """One more frame; what it led to: nothing, a look, a word, or both. Raises ValueError for a frame that is no grey picture."""
        if frame.light is Light.MIXED:
            return []
        if frame.light is Light.DARK:
            self._dark = frame
            return []
        self._light_seen_s[frame.light] = frame.captured_s
        meant, look = self._consider(frame)
        said = None if meant is None else self._prompter.push(meant, frame.captured_s)
        results: list[Look | Guidance] = [] if look is None else [look]
        return results if said is None else [*results, said]

    def _consider(self, frame: Frame) -> tuple[Guidance | None, Look | None]:
        """What one lit frame means to the shopper (None: wait for its partner), and the look that it completes."""
        stages: dict[str, int] = {}
        with _Stage(stages, "daylight"):
            dark = self._dark_for(frame)
            picture = searchable(frame, dark)
        with _Stage(stages, "find"):
            found = self._find(picture, frame.captured_s)
        height, width = frame.pixels.shape
        meant = advice(found, height, width)
        if isinstance(found, NoHand):
            self._lose()
            return meant, None
        speed = self._follow(frame, found)
        if meant is not Guidance.GOOD:
            self._waiting.clear()
            return meant, None
        if frame.light is not Light.SINGLE and (speed is None or speed > STILL_SPANS_PER_S_MAX):
            # A recording's pictures may be minutes apart, so only for a live reader's lights is displacement a speed.
            self._waiting.clear()
            return (None if speed is None else Guidance.HOLD_STILL), None
        lit = self._normalise(frame, found, dark, stages)
        if lit.too_bright:
            self._waiting.clear()
            return Guidance.DAYLIGHT, None
        moving = 0.0 if speed is None or frame.light is Light.SINGLE else speed
        self._waiting[frame.light] = _Seen(frame.number, frame.captured_s, found, moving, lit, stages)
        return self._complete(frame)

    def _dark_for(self, frame: Frame) -> Frame | None:
        """The dark frame that belongs to a lit one, where there is one near in time."""
        dark = self._dark
        if dark is None or abs(frame.captured_s - dark.captured_s) > DARK_S_MAX or dark.pixels.shape != frame.pixels.shape:
            return None
        return dark

    def _find(self, picture: NDArray[np.uint8], now_s: float) -> Hand | NoHand:
        """Track the hand, or search for one; every so often search although there is one."""
        hint = self._last[1] if self._last is not None and now_s - self._last[0] <= TRACK_S_MAX else None
        if hint is not None:
            self._tracked_frames += 1
            if self._tracked_frames >= SUPERVISED_EVERY_FRAMES:
                self._tracked_frames, hint = 0, None
        return self._finder.find(picture, hint)

    def _lose(self) -> None:
        self._before = self._last = None
        self._tracked_frames = 0
        self._waiting.clear()

    def _follow(self, frame: Frame, hand: Hand) -> float | None:
        """Remember where the hand is; its speed in valley spans a second, or None where that can't be known."""
        last = self._last
        self._before, self._last = last, (frame.captured_s, hand)
        if last is None or last[1].side is not hand.side:
            self._before = None
            return None
        elapsed_s = frame.captured_s - last[0]
        if not 0 < elapsed_s <= TRACK_S_MAX:
            self._before = None
            return None
        away = float(np.hypot(*(hand.valleys - last[1].valleys).T).mean())
        return away / max(1.0, hand.span_px) / elapsed_s

    def _normalise(self, frame: Frame, hand: Hand, dark: Frame | None, stages: dict[str, int]) -> Lit:
        """The canonical palm, without daylight."""
        with _Stage(stages, "canonical"):
            palm = canonical_palm(frame.pixels, hand)
        with _Stage(stages, "daylight"):
            if dark is None:
                return without_daylight(palm, None)
            was = hand_at(dark.captured_s, self._before, (frame.captured_s, hand))
            return without_daylight(palm, canonical_palm(dark.pixels, was), exposure_ratio(frame, dark))

    def _complete(self, frame: Frame) -> tuple[Guidance | None, Look | None]:
        """A look, where this frame's light finds its partner or needs none."""
        own = self._waiting[frame.light]
        if frame.light is Light.SINGLE:
            return self._encoded({Light.SINGLE: own})
        other = Light.CROSSED if frame.light is Light.PARALLEL else Light.PARALLEL
        partner = self._waiting.get(other)
        if partner is not None and abs(own.captured_s - partner.captured_s) <= PAIR_S_MAX and partner.hand.side is own.hand.side:
            return self._encoded({frame.light: own, other: partner})
        # A light that never came is missed from the first time on that it was waited for.
        missed_since_s = self._light_seen_s.setdefault(other, frame.captured_s)
        if frame.captured_s - missed_since_s > ALONE_AFTER_S:
            return self._encoded({frame.light: own})
        return None, None

    def _encoded(self, seen: dict[Light, _Seen]) -> tuple[Guidance, Look | None]:
        """Quality and signatures of what was seen; the palms themselves are forgotten here."""
        self._waiting.clear()
        stages: dict[str, int] = {}
        for one in seen.values():
            for name, took in one.stages_us.items():
                stages[name] = stages.get(name, 0) + took
        with _Stage(stages, "quality"):
            measured = [
                self._measure(one.lit.palm, clipped=one.lit.clipped, speed_spans_s=one.speed_spans_s) for one in seen.values()
            ]
            worst = min(measured, key=lambda one: one.value)
        if worst.value < self._options.quality_min:
            return worst.reason or Guidance.GOOD, None
        with _Stage(stages, "encode"):
            signatures = self._encoder.encode(np.stack([one.lit.palm for one in seen.values()]))
        by_light = dict(zip(seen, signatures, strict=True))
        newest = max(seen.values(), key=lambda one: one.captured_s)
        look = Look(
            frame_number=newest.frame_number,
            captured_s=newest.captured_s,
            side=newest.hand.side,
            quality=worst.value,
            model_version=self._encoder.version,
            surface=by_light.get(Light.PARALLEL),
            veins=by_light.get(Light.CROSSED),
            mixed=by_light.get(Light.SINGLE),
            stages_us=stages,
        )
        return Guidance.GOOD, look


class _Stage:
    """Adds the microseconds of its block to a stage."""

    __slots__ = ("_name", "_stages", "_started_ns")

    def __init__(self, stages: dict[str, int], name: str) -> None:
        self._stages, self._name, self._started_ns = stages, name, 0

    def __enter__(self) -> None:
        self._started_ns = perf_counter_ns()

    def __exit__(self, *_: object) -> None:
        took = (perf_counter_ns() - self._started_ns) // 1000
        self._stages[self._name] = self._stages.get(self._name, 0) + took
