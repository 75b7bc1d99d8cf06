"""Every reader keeps the same contract: recorded, simulated, and the camera's adapter on a stand-in for its library."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from gpiozero.pins.mock import MockFactory
from numpy.typing import NDArray

from terminal.config import ReaderOptions
from terminal.reader.frame import Frame, Light, Pace, Reader, ReaderError, ReaderStalled
from terminal.reader.light import Banks
from terminal.reader.lighting import lighting
from terminal.reader.picamera2_reader import Library, Picamera2Reader
from terminal.reader.replay import ReplayReader
from terminal.simulation.reader import SimulatedReader
from tests.terminal.reader import contract
from tests.terminal.reader.fake_picamera2 import BOOT_OFFSET_S, FakePicamera2, Sensor, fake_mapped
from tests.terminal.reader.pictures import Clock, folder, video


@dataclass
class Case:
    reader: Reader
    clock: Callable[[], float]
    stall: Callable[[], None] | None = None


def replayed(path: Path) -> Case:
    clock = Clock()
    options = ReaderOptions(kind="replay", replay_path=path, replay_loop=True)
    return Case(ReplayReader(options, clock=clock, sleep=clock.sleep), clock)


def replay_folder(tmp_path: Path) -> Case:
    names = ("parallel", "crossed", "dark")
    return replayed(folder(tmp_path / "pictures", {f"{i}_{names[i % 3]}.png": 20 + i for i in range(12)}))


def replay_video(tmp_path: Path) -> Case:
    return replayed(video(tmp_path / "clip.avi", [40, 60, 20] * 4))


def picamera2(tmp_path: Path) -> Case:
    del tmp_path
    clock = Clock()
    sensor = Sensor(clock)
    options = ReaderOptions(kind="picamera2", width_px=320, height_px=200)
    library = Library(lambda: FakePicamera2(sensor), fake_mapped)
    factory = MockFactory()
    reader = Picamera2Reader(
        options,
        library,
        lambda: lighting(options, Banks(options.bank_pins, factory, clock), clock),
        clock=clock,
        boot_offset=lambda: BOOT_OFFSET_S,
    )

    def stall() -> None:
        sensor.stalled = True

    return Case(reader, clock, stall)


def simulated(tmp_path: Path) -> Case:
    del tmp_path
    # Real time and a real thread: a quick idle rate and small pictures keep this short.
    options = ReaderOptions(kind="simulated", width_px=320, height_px=200, idle_rate_hz=25)
    return Case(SimulatedReader(options), time.monotonic)


@pytest.fixture(params=[replay_folder, replay_video, picamera2, simulated], ids=lambda make: str(make.__name__))
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    made: Case = request.param(tmp_path)
    yield made
    made.reader.close()


@pytest.mark.parametrize("term", contract.CONTRACT, ids=lambda term: str(term.__name__))
def test_the_contract(case: Case, term: Callable[[Reader], None]) -> None:
    term(case.reader)


def test_stamps_are_of_the_monotonic_clock(case: Case) -> None:
    contract.stamps_are_of_the_monotonic_clock(case.reader, case.clock)


def _read_faster_than_frames_come(reader: Reader) -> None:
    for _ in range(50):
        reader.read(0.0)


def test_a_reader_without_frames_stalls_within_the_deadline(case: Case) -> None:
    if case.stall is None:
        case.reader.open()
        case.reader.read(contract.DEADLINE_S)
        with pytest.raises(ReaderStalled):
            _read_faster_than_frames_come(case.reader)
        return
    case.reader.open()
    case.reader.read(contract.DEADLINE_S)
    case.stall()
    begun_s = case.clock()
    with pytest.raises(ReaderStalled):
        case.reader.read(0.2)
    assert case.clock() - begun_s <= 0.3


class Faulty:
    """A reader that keeps the contract but for one thing."""

    def __init__(self, inner: Reader, fault: str) -> None:
        self.inner, self.fault = inner, fault
        self.buffer: NDArray[np.uint8] | None = None
        self.asked = Pace.IDLE
        self.closed = False

    def open(self) -> None:
        self.closed = False
        self.inner.open()

    def pace(self, pace: Pace) -> None:
        self.asked = pace
        self.inner.pace(Pace.ACTIVE if self.fault == "ignores idle" else pace)

    def close(self) -> None:
        if self.closed and self.fault == "close once only":
            raise ReaderError("already closed")
        self.closed = True
        if self.fault != "reads on after close":
            self.inner.close()

    def read(self, deadline_s: float) -> Frame:
        frame = self.inner.read(deadline_s)
        if self.fault == "one number":
            return replace(frame, number=7)
        if self.fault == "stamps stand still":
            return replace(frame, captured_s=100.0)
        if self.fault == "wall clock":
            return replace(frame, captured_s=frame.captured_s + 1.7e9)
        if self.fault == "writable":
            return replace(frame, pixels=frame.pixels.copy())
        if self.fault == "idle labelled lit" and self.asked is Pace.IDLE:
            return replace(frame, light=Light.PARALLEL)
        if self.fault == "one buffer for all":
            if self.buffer is None:
                self.buffer = np.empty_like(frame.pixels)
            self.buffer[:] = frame.pixels
            view = self.buffer.view()
            view.flags.writeable = False
            return replace(frame, pixels=view)
        return frame


@pytest.mark.parametrize(
    "fault",
    [
        "one number", "stamps stand still", "wall clock", "writable", "one buffer for all", "ignores idle", "idle labelled lit",
        "close once only", "reads on after close",
    ],
)  # fmt: skip
def test_the_contract_notices(fault: str, tmp_path: Path) -> None:
    """Each fault breaks at least one term; without this, a term that can't fail would go unseen."""
    for term in (*contract.CONTRACT, None):
        case = picamera2(tmp_path)
        reader = Faulty(case.reader, fault)
        try:
            if term is None:
                contract.stamps_are_of_the_monotonic_clock(reader, case.clock)
            else:
                term(reader)
        except (AssertionError, ReaderError):
            return
        finally:
            case.reader.close()
    pytest.fail("no term of the contract noticed")
