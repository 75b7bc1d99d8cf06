"""A stand-in for picamera2's two names: the same calls, a sensor that exposes on a clock which moves only when somebody waits.

The real library runs the same contract in tests/terminal/reader/virtual_camera.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.terminal.reader.pictures import Clock

STRIDE_PX = 64  # rows are padded to this
BOOT_OFFSET_S = 1234.5  # as if the board had been suspended


@dataclass
class Sensor:
    """What the camera sees and how it misbehaves. level(number): mean grey of that exposure."""

    clock: Clock
    level: Callable[[int], int] = lambda number: 40 + number % 7
    controls: dict[str, tuple[float, float, float]] = field(
        default_factory=lambda: {
            "ExposureTime": (29, 66_666, 1000),
            "AnalogueGain": (1.0, 16.0, 1.0),
            "FrameDurationLimits": (8333, 1_000_000, 33_333),
            "AeEnable": (0, 1, 1),
            "NoiseReductionMode": (0, 4, 0),
            "Sharpness": (0.0, 16.0, 1.0),
        }
    )
    delay_frames: int = 5  # until a control acts: requests queued, and the sensor's own 2
    drop: set[int] = field(default_factory=set)  # exposures that never arrive
    stalled: bool = False
    hang: Callable[[], object] | None = None  # called instead of opening
    size: tuple[int, int] | None = None  # what the camera makes of the size asked for
    format: str = "NV12"
    metadata: dict[str, Any] = field(default_factory=dict)  # overrides
    opened: int = 0
    held: int = 0  # requests not released
    held_most: int = 0


class FakePicamera2:
    def __init__(self, sensor: Sensor, allocator: object | None = None) -> None:
        if sensor.hang is not None:
            sensor.hang()
        if sensor.opened:
            raise RuntimeError("Failed to acquire camera: Device or resource busy")
        self.sensor, self.allocator = sensor, allocator
        sensor.opened += 1
        self.camera_controls = sensor.controls
        self.configured = 0
        self.started = False
        self.number = -1
        self.acting: dict[str, Any] = {}
        self.coming: deque[tuple[int, dict[str, Any]]] = deque()

    def create_video_configuration(self, **arguments: Any) -> dict[str, Any]:
        assert arguments["raw"] is None
        return dict(arguments)

    def configure(self, configuration: dict[str, Any]) -> None:
        assert not self.started
        assert not self.configured, "a second configuration would allocate again"
        self.configured += 1
        width, height = self.sensor.size or configuration["main"]["size"]
        stride = -(-width // STRIDE_PX) * STRIDE_PX
        self.main: dict[str, Any] = {"size": (width, height), "stride": stride, "format": self.sensor.format}
        self.set_controls(configuration["controls"])
        self.acting = dict(configuration["controls"])

    def camera_configuration(self) -> dict[str, Any]:
        return {"main": self.main}

    def start(self) -> None:
        self.started = True

    def set_controls(self, controls: dict[str, Any]) -> None:
        for name in controls:
            if name not in self.camera_controls:
                raise RuntimeError(f"Control {name} is not advertised by libcamera")
        if self.started:
            self.coming.append((self.number + self.sensor.delay_frames, controls))

    def capture_request(self, wait: bool) -> object:
        assert wait is False
        return object()

    def wait(self, job: object, timeout: float) -> FakeRequest:
        del job
        sensor = self.sensor
        if sensor.stalled:
            sensor.clock.sleep(timeout)
            raise TimeoutError
        while True:
            self.number += 1
            while self.coming and self.coming[0][0] <= self.number:
                self.acting |= self.coming.popleft()[1]
            period_us = self.acting["FrameDurationLimits"][0]
            sensor.clock.sleep(period_us / 1e6)
            if self.number not in sensor.drop:
                return FakeRequest(self, self.number, period_us)

    def close(self) -> None:
        if self.started:
            self.sensor.opened -= 1
        self.started = False


class FakeRequest:
    def __init__(self, camera: FakePicamera2, number: int, period_us: int) -> None:
        self.camera, self.number, self.released = camera, number, False
        sensor = camera.sensor
        sensor.held += 1
        sensor.held_most = max(sensor.held_most, sensor.held)
        self._metadata = {
            "SensorTimestamp": round((sensor.clock() + BOOT_OFFSET_S) * 1e9),
            "ExposureTime": camera.acting["ExposureTime"],
            "AnalogueGain": camera.acting["AnalogueGain"],
            "FrameDuration": period_us,
        } | sensor.metadata

    def get_metadata(self) -> dict[str, Any]:
        return dict(self._metadata)

    def release(self) -> None:
        assert not self.released
        self.released = True
        self.camera.sensor.held -= 1


@contextmanager
def fake_mapped(request: FakeRequest, stream: str, reshape: bool = True, write: bool = True) -> Iterator[Any]:
    assert stream == "main"
    assert not reshape
    assert not write
    width, height = request.camera.main["size"]
    stride = request.camera.main["stride"]
    buffer = np.full(stride * height * 3 // 2, 7, np.uint8)  # padding and colour must not be seen
    buffer[: stride * height].reshape(height, stride)[:, :width] = request.camera.sensor.level(request.number)
    yield SimpleNamespace(array=buffer)
    assert not request.released
    buffer[:] = 0  # the camera writes its next frame here
