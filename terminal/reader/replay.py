"""A recording as a reader: a folder of pictures or a video, played as a camera would give it.

No recorded picture is dropped, however late it is asked for: each may be the only one of its kind. While the pace is idle the recording
stands still, and black frames labelled dark come at the idle rate, as they would from a reader whose banks are off.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from terminal.config import ReaderOptions
from terminal.reader.frame import Frame, Light, Pace, ReaderEnded, ReaderError, ReaderStalled
from terminal.reader.recording import Recording, find

logger = logging.getLogger(__name__)

PICTURE_BYTES_MAX = 64 * 1024 * 1024
SIDE_MIN_PX = 16
SIDE_MAX_PX = 16_384
BITS_LOOKED_AT_MAX = 16  # 16-bit pictures opened to learn how many of their bits are used
UNREADABLE_LOGGED_MAX = 20  # for each pass; a folder of rubbish must not fill a disk with its own complaint
_DEPTHS = (8, 10, 12, 14, 16)


class PictureError(ReaderError):
    """One picture can't be played; the recording goes on with the next."""


@dataclass(frozen=True, slots=True)
class _Shot:
    """A decoded picture that waits for its time. pause_s: after the shot before it; None: by the rate."""

    pixels: NDArray[np.uint8]
    light: Light
    exposure_us: int
    gain: float
    skipped: int
    pause_s: float | None


class ReplayReader:
    """Plays `options.replay_path`; see the module. `clock` and `sleep` are seconds of one monotonic clock."""

    def __init__(
        self,
        options: ReaderOptions,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if options.replay_path is None:
            raise ReaderError("kind replay needs [reader] replay_path: a folder of pictures or a video.")
        self._options = options
        self._path = options.replay_path
        self._clock, self._sleep = clock, sleep
        self._pace = Pace.ACTIVE
        self._shots: Generator[_Shot] | None = None
        self._pending: _Shot | None = None
        self._black: NDArray[np.uint8] = _read_only(np.zeros((options.height_px, options.width_px), np.uint8))
        self._number = -1
        self._last_s: float | None = None

    def open(self) -> None:
        """Look at the recording and begin it anew. Harmless when open. Raises ReaderError with a sentence for a technician."""
        if self._shots is not None:
            return
        recording = find(self._path)
        what = "a video" if recording.is_video else f"{len(recording.stills)} pictures"
        logger.info("replay path=%s holds=%s timed=%s loop=%s", self._path, what, recording.timed, self._options.replay_loop)
        self._shots = self._endless(recording) if self._options.replay_loop else self._once(recording)
        self._pending, self._last_s = None, None

    def read(self, deadline_s: float) -> Frame:
        """The next frame. Raises ReaderStalled when it is not due within the deadline, ReaderEnded, ReaderError."""
        if self._shots is None:
            raise ReaderError("The replay is closed. Open it before reading.")
        idle = self._pace is Pace.IDLE
        if not idle and self._pending is None:
            self._pending = next(self._shots, None)
            if self._pending is None:
                raise ReaderEnded(f"{self._path}: the recording has no more pictures. Set [reader] replay_loop to play it again.")
        self._wait_until_due(idle, deadline_s)
        captured_s = self._clock()
        if self._last_s is not None and captured_s <= self._last_s:
            captured_s = float(np.nextafter(self._last_s, np.inf))  # coarse clocks stand still between two fast reads
        self._last_s = captured_s
        if idle or self._pending is None:
            self._number += 1
            return Frame(self._number, self._black, Light.DARK, captured_s, self._options.exposure_us, self._options.gain)
        shot, self._pending = self._pending, None
        self._number += 1 + shot.skipped
        self._black = self._black if self._black.shape == shot.pixels.shape else _read_only(np.zeros_like(shot.pixels))
        return Frame(self._number, shot.pixels, shot.light, captured_s, shot.exposure_us, shot.gain)

    def pace(self, pace: Pace) -> None:
        """Idle: the recording stands still and black frames come. Active: it plays."""
        self._pace = pace

    def close(self) -> None:
        """Let go of the recording; harmless when already closed."""
        shots, self._shots, self._pending = self._shots, None, None
        if shots is not None:
            shots.close()  # lets go of a video's file

    def _wait_until_due(self, idle: bool, deadline_s: float) -> None:
        """Wait for the time of the next frame. Raises ReaderStalled where that is beyond the deadline."""
        if self._last_s is None or not (idle or self._options.replay_paced):
            return
        period_s = 1 / (self._options.idle_rate_hz if idle else self._options.rate_hz)
        if not idle and self._pending is not None and self._pending.pause_s is not None:
            period_s = self._pending.pause_s
        wait_s = self._last_s + period_s - self._clock()
        if wait_s > deadline_s:
            self._sleep(max(deadline_s, 0.0))
            raise ReaderStalled(f"{self._path}: no frame within {deadline_s:.2f} s, as recorded or as the rate says.")
        if wait_s > 0:
            self._sleep(wait_s)

    def _endless(self, recording: Recording) -> Generator[_Shot]:
        while True:
            yield from self._once(recording)
            logger.info("replay path=%s begins_again=true", self._path)

    def _once(self, recording: Recording) -> Generator[_Shot]:
        """One pass. Raises ReaderError where not one picture could be played."""
        played = skipped = logged = 0
        with contextlib.closing(self._video(recording) if recording.is_video else self._stills(recording)) as shots:
            for shot in shots:
                if isinstance(shot, PictureError):
                    skipped += 1
                    logged += 1
                    if logged <= UNREADABLE_LOGGED_MAX:
                        logger.warning("replay skipped=%s", shot)
                    continue
                played += 1
                yield _Shot(shot.pixels, shot.light, shot.exposure_us, shot.gain, skipped, shot.pause_s)
                skipped = 0
        if not played:
            raise ReaderError(f"{self._path}: not one picture could be read ({skipped} tried). See the log for each one's reason.")

    def _stills(self, recording: Recording) -> Generator[_Shot | PictureError]:
        bits = recording.bits
        before_s: float | None = None
        for still in recording.stills:
            try:
                pixels = decode(still.path)
                if bits is None and pixels.dtype == np.uint16:
                    bits = _bits_used([s.path for s in recording.stills], int(pixels.max()))
                pixels = to_grey(pixels, bits or 8, still.path.name)
            except PictureError as error:
                yield error
                continue
            pause_s = None
            if recording.timed and still.time_s is not None:
                pause_s = None if before_s is None else still.time_s - before_s
                before_s = still.time_s
            exposure_us = still.exposure_us or self._options.exposure_us
            yield _Shot(pixels, still.light, exposure_us, still.gain or self._options.gain, 0, pause_s)

    def _video(self, recording: Recording) -> Generator[_Shot | PictureError]:
        video: Any = cv2.VideoCapture(str(recording.path))
        try:
            if not video.isOpened():
                raise ReaderError(
                    f"{recording.path}: not a video that can be played here. Convert it, or give a folder of pictures."
                )
            exposure_us, gain = recording.exposure_us or self._options.exposure_us, recording.gain or self._options.gain
            for index in itertools.count():
                found, pixels = video.read()
                if not found:
                    return
                light = recording.cycle[index % len(recording.cycle)]
                yield _Shot(to_grey(pixels, recording.bits or 8, recording.path.name), light, exposure_us, gain, 0, None)
        finally:
            video.release()


def decode(path: Path) -> NDArray[Any]:
    """A picture as stored, grey, uint8 or uint16 or float [height, width]; turned upright as its EXIF says. Raises PictureError."""
    try:
        if path.stat().st_size > PICTURE_BYTES_MAX:
            raise PictureError(f"{path}: larger than {PICTURE_BYTES_MAX} bytes.")
        data = np.fromfile(path, np.uint8)  # not cv2.imread: it fails on names beyond ASCII on some systems
    except OSError as error:
        raise PictureError(f"{path}: can't be read ({error.strerror}).") from None
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH) if data.size else None
    except cv2.error as error:
        raise PictureError(f"{path}: broken picture ({error.err}).") from None
    if pixels is None:
        raise PictureError(f"{path}: empty, cut off, or not a picture.")
    return np.asarray(pixels)


def to_grey(pixels: NDArray[Any], bits: int, name: str) -> NDArray[np.uint8]:
    """uint8 [height, width], read-only; 16-bit pictures are scaled so that `bits` of them fill 8. Raises PictureError."""
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY) if pixels.shape[2] == 3 else pixels[:, :, 0]
    if not all(SIDE_MIN_PX <= side <= SIDE_MAX_PX for side in pixels.shape):
        raise PictureError(f"{name}: {pixels.shape[1]}x{pixels.shape[0]} pixels, sides must be {SIDE_MIN_PX} to {SIDE_MAX_PX}.")
    if pixels.dtype == np.uint8:
        return _read_only(pixels)
    if pixels.dtype == np.uint16:
        return _read_only(np.minimum(pixels >> (bits - 8), 255).astype(np.uint8))
    raise PictureError(f"{name}: {pixels.dtype} pixels; 8 or 16 bits are played. Convert it.")


def _bits_used(paths: list[Path], highest: int) -> int:
    """How many bits the 16-bit pictures of a recording use: cameras put 10 or 12 into 16. `highest`: the largest value known yet.

    One answer for the whole recording, since a scale for each picture would undo the difference between lit and dark.
    """
    step = max(1, len(paths) // BITS_LOOKED_AT_MAX)
    for path in paths[::step][:BITS_LOOKED_AT_MAX]:
        with contextlib.suppress(PictureError):
            pixels = decode(path)
            highest = max(highest, int(pixels.max())) if pixels.dtype == np.uint16 else highest
    return _depth(highest)


def _depth(highest: int) -> int:
    return next(depth for depth in _DEPTHS if highest < 1 << depth)


def _read_only(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    pixels = np.ascontiguousarray(pixels)
    pixels.flags.writeable = False
    return pixels
