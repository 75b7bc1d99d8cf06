"""The Pi's camera through the real picamera2: configured once, opened once, every frame believed only by its own metadata.

Written against picamera2 0.3.38 and libcamera 0.7. It has run on the real library with a virtual camera, never on a sensor (README.md).
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from terminal.config import ReaderOptions
from terminal.reader.banks import level_of
from terminal.reader.frame import Frame, Light, Pace, ReaderError, ReaderStalled
from terminal.reader.lighting import Exposure, Lighting, lighting
from terminal.reader.worker import Overdue, Worker

T = TypeVar("T")
logger = logging.getLogger(__name__)

BUFFERS = 4  # few, so that a control acts soon; libcamera makes fewer into four
SENSOR_DELAY_FRAMES = 2  # IMX296 and OV9281: exposure, gain and frame length act this much later
PACE_EFFECT_S = 0.5  # the Reader's promise
OPEN_DEADLINE_S = 15.0
CLOSE_DEADLINE_S = 5.0
WORKER_GRACE_S = 0.25  # beyond a frame's own deadline, until the library itself counts as wedged
STALLS_MAX = 2  # the second one in a row means that only a new process helps
EXPOSURE_TOLERANCE = 0.05
EXPOSURE_TOLERANCE_US = 60  # two lines of the slowest sensor: exposures are whole lines
GAIN_TOLERANCE = 0.05
SETTLE_FRAMES_MAX = 30  # until exposure and gain must be as asked; 10 or so are normal
Y_FIRST_FORMATS = frozenset({"YUV420", "YVU420", "NV12", "NV21"})
NEEDED_CONTROLS = ("ExposureTime", "AnalogueGain", "FrameDurationLimits")
NEEDED_METADATA = ("SensorTimestamp", "ExposureTime", "AnalogueGain")


@dataclass(frozen=True, slots=True)
class Library:
    """What the adapter takes from picamera2. factory: `Picamera2`; mapped: `MappedArray`; allocator: makes one, None: the library's."""

    factory: Callable[..., Any]
    mapped: Callable[..., Any]
    allocator: Callable[[], Any] | None = None


def import_library() -> Library:
    """The board's own picamera2. Raises ReaderError with what to install."""
    try:
        from picamera2 import MappedArray, Picamera2
    except ImportError as error:
        raise ReaderError(
            f"kind picamera2 can't be used here ({error}). Install the distribution's python3-picamera2 and make the virtual environment "
            "with --system-site-packages."
        ) from None
    return Library(Picamera2, MappedArray)


def reader_on_this_board(options: ReaderOptions) -> Picamera2Reader:
    """The adapter on the real library and the real pins. Raises ReaderError."""
    from terminal.reader.light import Banks, pins_of_this_board

    library = import_library()  # the commoner fault first

    def light() -> Lighting:
        return lighting(options, Banks(options.bank_pins, pins_of_this_board()), time.monotonic)

    return Picamera2Reader(options, library, light, troubles=_OF_THIS_PROCESS)


def boot_offset_s() -> float:
    """Seconds by which CLOCK_BOOTTIME, which stamps frames, is ahead of the monotonic clock: time spent suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()


@dataclass(slots=True)
class Troubles:
    """What outlives one adapter: a supervisor makes a new one, but the driver below is the same, and so is the process."""

    stalls: int = 0
    stuck: Worker | None = None


_OF_THIS_PROCESS = Troubles()
START_AGAIN = "The terminal must start again; if that does not help, check the camera's cable and the power supply."


@dataclass(slots=True)
class _Timing:
    """Counts exposures from their stamps: a frame that libcamera dropped leaves a gap."""

    number: int = -1
    start_s: float | None = None
    period_s: float = 0.0

    def count(self, start_s: float, period_s: float) -> int:
        """Number of the exposure that began at `start_s`; `period_s`: the sensor's own, of this exposure."""
        steps = 1
        if self.start_s is not None and self.period_s > 0:
            steps = max(1, round((start_s - self.start_s) / self.period_s))
        self.number += steps
        self.start_s, self.period_s = start_s, period_s
        return self.number


class Picamera2Reader:
    """A camera through picamera2 and the banks beside it. Used by one thread at a time; starts idle, banks off.

    `light` makes the lighting when the camera is opened; `clock` is monotonic; `boot_offset` as `boot_offset_s`.
    """

    def __init__(
        self,
        options: ReaderOptions,
        library: Library,
        light: Callable[[], Lighting],
        *,
        clock: Callable[[], float] = time.monotonic,
        boot_offset: Callable[[], float] = boot_offset_s,
        troubles: Troubles | None = None,
    ) -> None:
        self._options, self._library, self._make_light = options, library, light
        self._clock, self._boot_offset = clock, boot_offset
        self._worker: Worker | None = None
        self._camera: Any = None
        self._light: Lighting | None = None
        self._job: Any = None
        self._layout = (0, 0, 0)  # height, width, stride of the grey plane
        self._timing = _Timing()
        self._troubles = troubles or Troubles()
        self._unsettled = 0

    def open(self) -> None:
        """Claim camera and pins, configure once, start. Harmless when open. Raises ReaderError with a sentence for a technician."""
        if self._camera is not None:
            return
        if self._troubles.stuck is not None and self._troubles.stuck.stuck:
            # Another thread for each try would pile up behind the same driver.
            raise ReaderError(f"The camera hung and has not come back. {START_AGAIN}")
        self._worker = Worker("camera")
        try:
            self._light = self._make_light()
            self._call(self._claim, OPEN_DEADLINE_S, "opening the camera")
        except BaseException:
            self.close()
            raise
        self._unsettled = 0

    def read(self, deadline_s: float) -> Frame:
        """The next frame. Raises ReaderStalled once, ReaderError when it happens twice in a row or the camera disobeys."""
        if self._camera is None:
            raise ReaderError("The camera is closed. Open it before reading.")
        try:
            frame = self._call(lambda: self._take(deadline_s), deadline_s + WORKER_GRACE_S, "waiting for a frame")
        except ReaderStalled as error:
            stalls = self._troubles.stalls = self._troubles.stalls + 1
            logger.warning("camera stalled=%d reason=%s", stalls, error)
            if stalls >= STALLS_MAX:
                raise ReaderError(f"The camera has given no frame {stalls} times in a row. {START_AGAIN}") from None
            raise
        self._troubles.stalls = 0
        return frame

    def pace(self, pace: Pace) -> None:
        """Banks on or off, and the sensor's rate through its frame duration: no mode switch, no new buffers."""
        if self._camera is None or self._light is None:
            raise ReaderError("The camera is closed. Open it before setting its pace.")
        if pace is Pace.ACTIVE:
            self._light.active()
        else:
            self._light.idle()
        duration_us = self._duration_us(pace)
        self._call(
            lambda: self._camera.set_controls({"FrameDurationLimits": (duration_us, duration_us)}),
            WORKER_GRACE_S + self._options.frame_deadline_s,
            "setting the frame rate",
        )

    def close(self) -> None:
        """Banks off, camera given back; harmless when closed. A camera that hangs is left to the end of the process."""
        light, self._light = self._light, None
        if light is not None:
            light.close()
        worker, self._worker = self._worker, None
        camera, self._camera, self._job = self._camera, None, None
        self._timing.start_s = None
        if worker is None:
            return
        if camera is not None:
            try:
                worker.call(camera.close, CLOSE_DEADLINE_S)
            except Overdue:
                logger.warning("camera close=hangs left_to=end_of_process")
            except Exception as error:  # closing must not hide why it was closed
                logger.warning("camera close=failed reason=%s", error)
            # picamera2's objects hold each other, and with them the buffers: seen to pile up over re-openings until collected.
            del camera
            gc.collect()
        if worker.stuck:
            self._troubles.stuck = worker
        worker.stop()

    def _call(self, function: Callable[[], T], deadline_s: float, doing: str) -> T:
        assert self._worker is not None
        try:
            return self._worker.call(function, deadline_s)
        except Overdue as error:
            raise ReaderStalled(f"The camera hangs while {doing}: {error}.") from None
        except ReaderError:
            raise
        except Exception as error:  # the library raises whatever it likes; a technician gets one sentence
            raise ReaderError(
                f"The camera failed while {doing}: {error or type(error).__name__}. Check its cable with `rpicam-hello --list-cameras`, "
                "and that no other program uses it."
            ) from error

    def _claim(self) -> None:
        """On the worker: open, check what the camera can do, configure, start."""
        options, library = self._options, self._library
        arguments = {} if library.allocator is None else {"allocator": library.allocator()}
        camera = library.factory(**arguments)
        self._camera = camera
        missing = [name for name in NEEDED_CONTROLS if name not in camera.camera_controls]
        if missing:
            raise ReaderError(
                f"This camera can't set {', '.join(missing)}. It takes a sensor with manual control (README.md lists them)."
            )
        idle_us = self._duration_us(Pace.IDLE)
        wanted = {
            "AeEnable": False,
            "AwbEnable": False,
            "ExposureTime": options.exposure_us,
            "AnalogueGain": options.gain,
            "FrameDurationLimits": (idle_us, idle_us),
            "NoiseReductionMode": 0,  # off: texture of a percent is what is looked for
            "Sharpness": 0.0,
        }
        controls = {name: value for name, value in wanted.items() if name in camera.camera_controls}
        configuration = camera.create_video_configuration(
            main={"size": (options.width_px, options.height_px), "format": "YUV420"},
            raw=None,
            buffer_count=BUFFERS,
            controls=controls,
            display=None,
            encode=None,
        )
        camera.configure(configuration)
        self._check(camera)
        camera.start()
        logger.info("camera open=true height=%d width=%d stride=%d controls=%s", *self._layout, sorted(controls))

    def _check(self, camera: Any) -> None:
        """Whether what was configured is what was asked for. Raises ReaderError with the option to change."""
        main = camera.camera_configuration()["main"]
        width, height = main["size"]
        if main["format"] not in Y_FIRST_FORMATS:
            raise ReaderError(
                f"The camera gives {main['format']}, which has no grey plane. {', '.join(sorted(Y_FIRST_FORMATS))} have."
            )
        if (width, height) != (self._options.width_px, self._options.height_px):
            raise ReaderError(f"The camera gives {width}x{height}. Set [reader] width_px and height_px to that.")
        shortest_us = camera.camera_controls["FrameDurationLimits"][0]
        if shortest_us > 1e6 / self._options.rate_hz * (1 + EXPOSURE_TOLERANCE):
            raise ReaderError(
                f"The camera gives at most {1e6 / shortest_us:.0f} frames a second at this size. Lower [reader] rate_hz."
            )
        self._layout = (height, width, main["stride"])

    def _duration_us(self, pace: Pace) -> int:
        """Frame duration of a pace; idle frames are as long as the promise allows to wake within half a second."""
        if pace is Pace.ACTIVE:
            return round(1e6 / self._options.rate_hz)
        longest_s = PACE_EFFECT_S / (BUFFERS + SENSOR_DELAY_FRAMES)
        return round(1e6 * min(1 / self._options.idle_rate_hz, longest_s))

    def _take(self, deadline_s: float) -> Frame:
        """On the worker: one request, believed and copied once. Raises ReaderStalled, ReaderError."""
        with self._request(deadline_s) as request:
            metadata = request.get_metadata()
            missing = [name for name in NEEDED_METADATA if not metadata.get(name)]
            if missing:
                raise ReaderError(
                    f"Frames come without {', '.join(missing)}, so none can be believed. Update libcamera and the tuning file."
                )
            pixels = self._grey(request)
        exposure_us, gain = int(metadata["ExposureTime"]), float(metadata["AnalogueGain"])
        # The stamp is the end of a global shutter's exposure; libcamera's own code goes back by the exposure as well.
        start_s = metadata["SensorTimestamp"] / 1e9 - self._boot_offset() - exposure_us / 1e6
        period_s = metadata.get("FrameDuration", 1e6 / self._options.rate_hz) / 1e6
        number = self._timing.count(start_s, period_s)
        assert self._light is not None
        light = self._light.label(Exposure(number, start_s, exposure_us / 1e6, period_s, level_of(pixels)))
        if not self._as_asked(exposure_us, gain):
            light = Light.MIXED
        return Frame(number, pixels, light, start_s, exposure_us, gain)

    @contextmanager
    def _request(self, deadline_s: float) -> Iterator[Any]:
        """The next completed request, given back in any case.

        One job is outstanding at most: one that timed out is waited for again, since a forgotten one would take a later frame's buffer
        and never give it back.
        """
        if self._job is None:
            self._job = self._camera.capture_request(wait=False)
        try:
            request = self._camera.wait(self._job, timeout=deadline_s)
        except TimeoutError:
            raise ReaderStalled(f"No frame within {deadline_s:.2f} s.") from None
        except BaseException:
            self._job = None
            raise
        self._job = None
        try:
            yield request
        finally:
            request.release()

    def _grey(self, request: Any) -> NDArray[np.uint8]:
        """The Y plane, uint8 [height, width], copied once: the buffer goes back to the camera. Right for any stride."""
        height, width, stride = self._layout
        with self._library.mapped(request, "main", reshape=False, write=False) as mapped:
            plane = np.asarray(mapped.array).reshape(-1)[: stride * height].reshape(height, stride)
            pixels: NDArray[np.uint8] = np.array(plane[:, :width])
            del plane  # no view may outlive the mapping
        pixels.flags.writeable = False
        return pixels

    def _as_asked(self, exposure_us: int, gain: float) -> bool:
        """Whether this frame was taken with the exposure and gain asked for. Raises ReaderError where that never comes true."""
        options = self._options
        tolerance_us = max(EXPOSURE_TOLERANCE_US, EXPOSURE_TOLERANCE * options.exposure_us)
        if abs(exposure_us - options.exposure_us) <= tolerance_us and abs(gain - options.gain) <= GAIN_TOLERANCE * options.gain:
            self._unsettled = 0
            return True
        self._unsettled += 1
        if self._unsettled > SETTLE_FRAMES_MAX:
            raise ReaderError(
                f"The camera exposes for {exposure_us} us at gain {gain:.2f}, asked for {options.exposure_us} us at {options.gain:.2f}. "
                "Set [reader] exposure_us and gain to what it can do."
            )
        return False
