"""Runs inside the root, on Debian's Python, against the real picamera2 and libcamera. Not collected outside (its name says so)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from gpiozero.pins.mock import MockFactory

from terminal.config import ReaderOptions
from terminal.reader.banks import CYCLE
from terminal.reader.frame import Frame, Light, Pace, Reader, ReaderError, ReaderStalled
from terminal.reader.light import Banks
from terminal.reader.lighting import lighting
from terminal.reader.picamera2_reader import BUFFERS, Library, Picamera2Reader, import_library
from tests.terminal.reader import contract
from tests.terminal.reader.virtual_camera import shims

shims.install()
LEVELS = {Light.PARALLEL: 90, Light.CROSSED: 60, Light.DARK: 12}
BY_LEVEL = {level: light for light, level in LEVELS.items()}
STRADDLED = 45  # an exposure during which a bank was switched
PINS = MockFactory()
OPTIONS = ReaderOptions(kind="picamera2", width_px=640, height_px=400)


def lamps() -> tuple[bool, bool]:
    """Parallel, crossed: how the pins stand now."""
    return bool(PINS.pin(17).state), bool(PINS.pin(27).state)


def strobed(number: int, start_s: float, end_s: float) -> int:
    """The sensor's strobe steps a three-way switch; the pins let its pulses through."""
    return LEVELS[CYCLE[(number + 1) % 3] if all(lamps()) else Light.DARK]


def test_a_camera_without_manual_exposure_is_refused_in_words() -> None:
    """The virtual camera as it is, before the sensor is patched over it: must stay the first test."""
    bare = adapter(OPTIONS)
    with pytest.raises(ReaderError, match="can't set ExposureTime, AnalogueGain"):
        bare.open()
    bare.close()


@pytest.fixture(scope="module")
def sensor() -> Any:
    from tests.terminal.reader.virtual_camera.sensor import Sensor

    made = Sensor(strobed)
    made.install()
    return made


def adapter(options: ReaderOptions) -> Picamera2Reader:
    library = import_library()
    return Picamera2Reader(
        options,
        Library(library.factory, library.mapped, shims.allocator),
        lambda: lighting(options, Banks(options.bank_pins, PINS), time.monotonic),
    )


@pytest.fixture
def reader(sensor: Any) -> Iterator[Picamera2Reader]:
    sensor.level, sensor.stalled, sensor.dropped = strobed, False, set()
    made = adapter(OPTIONS)
    yield made
    made.close()


def read(reader: Reader, count: int) -> list[Frame]:
    return [reader.read(5.0) for _ in range(count)]


@pytest.mark.parametrize("term", contract.CONTRACT, ids=lambda term: str(term.__name__))
def test_the_contract(reader: Picamera2Reader, term: Callable[[Reader], None]) -> None:
    term(reader)


def test_stamps_are_of_the_monotonic_clock(reader: Picamera2Reader) -> None:
    contract.stamps_are_of_the_monotonic_clock(reader, time.monotonic)


def test_the_whole_way_controls_act_and_every_label_is_true(reader: Picamera2Reader) -> None:
    reader.open()
    reader.pace(Pace.ACTIVE)
    frames = read(reader, 90)
    told = [frame for frame in frames if frame.light is not Light.MIXED]
    assert len(told) >= 30
    assert all(frame.light is BY_LEVEL[int(frame.pixels[0, 0])] for frame in told)
    assert {frame.light for frame in told} == set(CYCLE)
    assert all((frame.pixels == frame.pixels[0, 0]).all() for frame in frames), "colour planes or another frame's rows"
    assert {(frame.exposure_us, frame.gain) for frame in frames} == {(OPTIONS.exposure_us, OPTIONS.gain)}


def test_numbers_count_the_sensors_exposures(reader: Picamera2Reader, sensor: Any) -> None:
    reader.open()
    reader.pace(Pace.ACTIVE)
    read(reader, 30)
    sensor.dropped = {sensor.number + 10, sensor.number + 11, sensor.number + 20}
    frames = read(reader, 40)
    assert max(b.number - a.number for a, b in pairwise(frames)) >= 3
    assert all(f.light in {Light.MIXED, BY_LEVEL[int(f.pixels[0, 0])]} for f in frames)


def test_frame_duration_changes_without_a_new_configuration(reader: Picamera2Reader, sensor: Any) -> None:
    reader.open()
    for _ in range(3):
        reader.pace(Pace.ACTIVE)
        read(reader, 20)
        assert sensor.acting["FrameDurationLimits"][0] == round(1e6 / OPTIONS.rate_hz)
        reader.pace(Pace.IDLE)
        read(reader, 15)
        assert sensor.acting["FrameDurationLimits"][0] > 2e6 / OPTIONS.rate_hz
    assert reader._camera.allocator.allocations == 1
    assert reader._camera.configure_count == 1
    assert len(reader._camera.allocator.mapped_buffers) == BUFFERS


def test_a_sensor_that_stops_is_a_stall_then_an_end_and_no_buffer_is_lost(reader: Picamera2Reader, sensor: Any) -> None:
    reader.open()
    reader.pace(Pace.ACTIVE)
    read(reader, 10)
    sensor.stalled = True
    with pytest.raises(ReaderStalled):
        [reader.read(0.3) for _ in range(BUFFERS)]  # some may have been on their way already
    with pytest.raises(ReaderError, match="start again"):
        reader.read(0.3)
    sensor.stalled = False
    frames = read(reader, 60)
    assert max(b.number - a.number for a, b in pairwise(frames[5:])) <= 3, "buffers went missing: the sensor starves"


def test_twenty_openings_leave_no_thread_no_file_no_memory_behind(reader: Picamera2Reader) -> None:
    def once() -> tuple[int, int]:
        reader.open()
        reader.pace(Pace.ACTIVE)
        read(reader, 3)
        reader.close()
        return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else len(_open_files()), threading.active_count()

    for _ in range(3):
        first = once()
    for _ in range(20):
        last = once()
    assert last[0] <= first[0] + 1, f"files: {first[0]} became {last[0]}"
    assert last[1] <= first[1], f"threads: {first[1]} became {last[1]}"


def _open_files() -> list[int]:
    """Without /proc: which file numbers are taken."""
    taken = []
    for number in range(1024):
        try:
            os.fstat(number)
        except OSError:
            continue
        taken.append(number)
    return taken


def test_software_banks_are_labelled_truly_in_real_time(sensor: Any) -> None:
    """The switcher's own thread against the sensor's: whatever the machine's scheduling did, no label may be wrong."""
    history: list[tuple[float, tuple[bool, bool]]] = [(0.0, lamps())]
    for number in (17, 27):
        pin = PINS.pin(number)
        change = pin._change_state

        def watched(value: bool, change: Callable[[bool], bool] = change) -> bool:
            changed = change(value)
            history.append((time.monotonic(), lamps()))
            return changed

        pin._change_state = watched

    def seen(number: int, start_s: float, end_s: float) -> int:
        del number
        standing = [state for at_s, state in history if at_s <= start_s][-1:] + [
            s for at_s, s in history if start_s < at_s <= end_s
        ]
        if len(set(standing)) > 1:
            return STRADDLED
        parallel, crossed = standing[0]
        return LEVELS[Light.PARALLEL if parallel else Light.CROSSED if crossed else Light.DARK]

    sensor.level = seen
    options = OPTIONS.model_copy(update={"bank_order": "software"})
    reader = adapter(options)
    reader.open()
    reader.pace(Pace.ACTIVE)
    frames = read(reader, 150)
    reader.close()
    told = [frame for frame in frames if frame.light is not Light.MIXED]
    assert all(frame.light is BY_LEVEL.get(int(frame.pixels[0, 0])) for frame in told)
    assert {frame.light for frame in told} == set(CYCLE)
    print(f"software banks: {len(told)} of {len(frames)} frames told, none wrongly")
