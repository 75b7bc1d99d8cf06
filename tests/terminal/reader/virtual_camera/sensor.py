"""A sensor patched over libcamera's Python types: what the virtual camera does not do, a real one does.

It advertises the Pi's controls, exposes at the frame duration it was told, drops a frame when no buffer is queued, lets controls act two
frames after the request that carried them, and paints each frame for the bank that was lit while it was exposed. So the adapter goes the
whole way through the real library: set_controls -> request -> completed request -> metadata -> mapped buffer.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import libcamera
import numpy as np

CONTROL_DELAY_FRAMES = 2
LIMITS: dict[str, tuple[Any, Any, Any]] = {
    "ExposureTime": (29, 66_666, 1000),
    "AnalogueGain": (1.0, 16.0, 1.0),
    "FrameDurationLimits": (8_333, 1_000_000, 33_333),
    "AeEnable": (False, True, True),
    "Sharpness": (0.0, 16.0, 1.0),
}


class Sensor:
    """One for the process. level(number, start_s, end_s): grey of that exposure, asked when it has ended."""

    def __init__(self, level: Callable[[int, float, float], int]) -> None:
        self.level = level
        self.dropped: set[int] = set()  # exposures that shall never arrive
        self.stalled = False
        self.number = 0
        self.acting: dict[str, Any] = {}
        self.painted: dict[int, int] = {}  # exposure number -> level
        self.starved = 0
        self._queue: deque[tuple[Any, Any, dict[str, Any]]] = deque()
        self._asked: dict[int, dict[str, Any]] = {}
        self._coming: deque[tuple[int, dict[str, Any]]] = deque()
        self._said: dict[int, tuple[dict[str, Any], int]] = {}
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def install(self) -> None:
        """Patch libcamera's types; the real methods still do the work."""
        camera, request, manager = libcamera.Camera, libcamera.Request, libcamera.CameraManager
        real_controls, real_metadata = camera.controls, request.metadata
        self.real_start, self.real_stop, self.real_queue = camera.start, camera.stop, camera.queue_request
        real_ready = manager.get_ready_requests

        def controls(this: Any) -> dict[Any, Any]:
            known = {getattr(libcamera.controls, name): value for name, value in LIMITS.items()}
            others = {key: value for key, value in real_controls.fget(this).items() if key.name not in LIMITS}
            return others | {key: SimpleNamespace(min=v[0], max=v[1], default=v[2], values=[]) for key, v in known.items()}

        def metadata(this: Any) -> dict[Any, Any]:
            said, _ = self._said.get(_file(this), ({}, 0))
            kept = {key: value for key, value in real_metadata.fget(this).items() if key.name not in said}
            return kept | {getattr(libcamera.controls, name): value for name, value in said.items()}

        def ready(this: Any) -> list[Any]:
            requests: list[Any] = real_ready(this)
            for done in requests:
                self._paint(done)
            return requests

        camera.controls = property(controls)
        request.metadata = property(metadata)
        request.set_control = lambda this, key, value: self._asked.setdefault(_file(this), {}).update({key.name: value})
        manager.get_ready_requests = ready
        camera.queue_request = lambda this, one: self._queue.append((this, one, self._asked.pop(_file(one), {})))
        camera.start = lambda this, controls: self._start(this, controls)
        camera.stop = lambda this: self._stop_camera(this)

    def _start(self, camera: Any, controls: dict[Any, Any]) -> None:
        self.acting = {"FrameDurationLimits": (33_333, 33_333), "ExposureTime": 1000, "AnalogueGain": 1.0}
        self.acting |= {key.name: value for key, value in controls.items()}
        self._coming.clear()
        self._stop.clear()
        self.real_start(camera, {})
        self._thread = threading.Thread(target=self._run, name="sensor", daemon=True)
        self._thread.start()

    def _stop_camera(self, camera: Any) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._queue.clear()
        self.real_stop(camera)

    def _run(self) -> None:
        start_s = time.monotonic()
        while not self._stop.is_set():
            while self._coming and self._coming[0][0] <= self.number:
                self.acting |= self._coming.popleft()[1]
            period_s = self.acting["FrameDurationLimits"][0] / 1e6
            exposure_s = self.acting["ExposureTime"] / 1e6
            if self._stop.wait(max(0.0, start_s + exposure_s - time.monotonic())):
                return
            self._expose(start_s, exposure_s, period_s)
            self.number += 1
            start_s += period_s

    def _expose(self, start_s: float, exposure_s: float, period_s: float) -> None:
        end_s = start_s + exposure_s
        level = self.painted[self.number] = self.level(self.number, start_s, end_s)
        if self.stalled or self.number in self.dropped:
            return
        if not self._queue:
            self.starved += 1
            return
        camera, request, asked = self._queue.popleft()
        if asked:
            self._coming.append((self.number + CONTROL_DELAY_FRAMES, asked))
        boot_ns = round((end_s + time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()) * 1e9)
        self._said[_file(request)] = (
            {
                "SensorTimestamp": boot_ns,
                "ExposureTime": int(self.acting["ExposureTime"]),
                "AnalogueGain": float(self.acting["AnalogueGain"]),
                "FrameDuration": round(period_s * 1e6),
            },
            level,
        )
        self.real_queue(camera, request)

    def _paint(self, request: Any) -> None:
        """Over the virtual camera's own pattern, before picamera2 hears of the frame; colour planes and padding get another value."""
        from picamera2 import Picamera2

        _, level = self._said.get(_file(request), ({}, 0))
        owner = Picamera2._cm.cameras[request.cookie]
        for stream, buffer in request.buffers.items():
            memory = np.frombuffer(owner.allocator.mapped_buffers[buffer], np.uint8)
            grey = stream.configuration.stride * stream.configuration.size.height
            memory[:grey], memory[grey:] = level, 3


def _file(request: Any) -> int:
    """A request's buffer keeps its file for as long as the camera is configured."""
    return int(next(iter(request.buffers.values())).planes[0].fd)
