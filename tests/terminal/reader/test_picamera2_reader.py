"""The camera's adapter on a stand-in for its library; the real library runs in tests/terminal/reader/virtual_camera."""

from __future__ import annotations

import builtins
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from gpiozero.pins.mock import MockFactory

from terminal.config import ReaderOptions
from terminal.reader import open_reader, picamera2_reader
from terminal.reader.banks import CYCLE
from terminal.reader.frame import Frame, Light, Pace, ReaderError, ReaderStalled
from terminal.reader.light import Banks
from terminal.reader.lighting import lighting
from terminal.reader.picamera2_reader import Library, Picamera2Reader, Troubles
from tests.terminal.reader.fake_picamera2 import BOOT_OFFSET_S, FakePicamera2, Sensor, fake_mapped
from tests.terminal.reader.pictures import Clock

OPTIONS = {"kind": "picamera2", "width_px": 334, "height_px": 200}
PARALLEL_PIN, CROSSED_PIN = 17, 27


class Rig:
    """An adapter with everything around it that a test wants to touch."""

    def __init__(self, **changes: Any) -> None:
        self.clock = Clock()
        self.pins = MockFactory()
        self.sensor = Sensor(self.clock, level=self.level)
        self.cameras: list[FakePicamera2] = []
        self.phase = 1  # where the hardware's flip-flop happens to stand
        self.level_of = {Light.PARALLEL: 90, Light.CROSSED: 60, Light.DARK: 12}
        self.options = ReaderOptions.model_validate(OPTIONS | changes)
        self.reader = Picamera2Reader(
            self.options,
            Library(self.make, fake_mapped),
            lambda: lighting(self.options, Banks(self.options.bank_pins, self.pins, self.clock), self.clock),
            clock=self.clock,
            boot_offset=lambda: BOOT_OFFSET_S,
        )

    def make(self) -> FakePicamera2:
        camera = FakePicamera2(self.sensor)
        self.cameras.append(camera)
        return camera

    def truth(self, number: int) -> Light:
        return CYCLE[(number + self.phase) % 3]

    def level(self, number: int) -> int:
        enabled = bool(self.pins.pin(PARALLEL_PIN).state)
        return self.level_of[self.truth(number) if enabled else Light.DARK]

    def read(self, count: int) -> list[Frame]:
        return [self.reader.read(1.0) for _ in range(count)]


@pytest.fixture
def make() -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def made(**changes: Any) -> Rig:
        rigs.append(Rig(**changes))
        return rigs[-1]

    yield made
    for rig in rigs:
        rig.reader.close()


def test_without_the_library_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] in {"picamera2", "libcamera"}:
            raise ModuleNotFoundError("No module named 'libcamera'")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ReaderError, match=r"python3-picamera2.*--system-site-packages"):
        open_reader(ReaderOptions(kind="picamera2"))


def test_the_strobes_frames_are_labelled_as_they_were_lit(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.reader.open()
    rig.reader.pace(Pace.ACTIVE)
    frames = rig.read(60)
    told = [frame for frame in frames if frame.light is not Light.MIXED]
    assert len(told) >= 40
    by_level = {level: light for light, level in rig.level_of.items()}
    assert all(frame.light is by_level[int(frame.pixels[0, 0])] for frame in told)
    assert {frame.light for frame in told} == set(CYCLE)


def test_padding_and_colour_never_reach_a_frame_and_one_copy_is_its_own(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.reader.open()
    frames = rig.read(5)
    assert all(frame.pixels.shape == (200, 334) for frame in frames)
    assert all((frame.pixels == frame.pixels[0, 0]).all() for frame in frames), "stride or a written-over buffer"
    assert all(frame.pixels.base is None for frame in frames)


def test_requests_are_given_back_one_at_a_time(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.reader.open()
    rig.read(50)
    assert rig.sensor.held == 0
    assert rig.sensor.held_most == 1


def test_a_request_is_given_back_when_its_frame_is_refused(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.reader.open()
    rig.sensor.metadata = {"SensorTimestamp": None}
    with pytest.raises(ReaderError, match="SensorTimestamp"):
        rig.reader.read(1.0)
    assert rig.sensor.held == 0


def test_the_camera_is_configured_once_for_all_paces(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.reader.open()
    for _ in range(3):
        rig.reader.pace(Pace.ACTIVE)
        rig.read(10)
        rig.reader.pace(Pace.IDLE)
        rig.read(10)
    assert [camera.configured for camera in rig.cameras] == [1]


def test_waking_takes_at_most_half_a_second_however_slow_idle_is(make: Callable[..., Rig]) -> None:
    rig = make(idle_rate_hz=1.0)
    rig.reader.open()
    rig.reader.pace(Pace.IDLE)
    rig.read(20)
    asked_s = rig.clock()
    rig.reader.pace(Pace.ACTIVE)
    frames = rig.read(30)
    fast = next(b.captured_s for a, b in pairwise(frames) if b.captured_s - a.captured_s < 0.02)
    assert fast - asked_s <= 0.5


def test_stamps_are_the_start_of_the_exposure(make: Callable[..., Rig]) -> None:
    rig = make(exposure_us=4000)
    rig.reader.open()
    frame = rig.reader.read(1.0)
    assert frame.captured_s == pytest.approx(rig.clock() - 0.004, abs=1e-6)


def test_exposures_that_never_arrived_are_a_gap_and_the_labels_stay_right(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.reader.open()
    rig.reader.pace(Pace.ACTIVE)
    before = rig.read(30)
    first = rig.cameras[0].number
    rig.sensor.drop = {first + 3, first + 4, first + 9}
    frames = before[-1:] + rig.read(40)
    steps = [b.number - a.number for a, b in pairwise(frames)]
    assert steps[:10] == [1, 1, 3, 1, 1, 1, 2, 1, 1, 1]
    by_level = {level: light for light, level in rig.level_of.items()}
    assert all(f.light in {Light.MIXED, by_level[int(f.pixels[0, 0])]} for f in frames)
    assert all(f.light is not Light.MIXED for f in frames[-10:])


def test_a_frame_is_believed_only_when_its_own_metadata_says_so(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.reader.open()
    rig.reader.pace(Pace.ACTIVE)
    rig.read(30)
    rig.sensor.metadata = {"ExposureTime": 8000}
    odd = rig.read(3)
    assert [(frame.light, frame.exposure_us) for frame in odd] == [(Light.MIXED, 8000)] * 3
    rig.sensor.metadata = {"AnalogueGain": 4.0}
    assert {frame.light for frame in rig.read(3)} == {Light.MIXED}
    rig.sensor.metadata = {"ExposureTime": 3985, "AnalogueGain": 1.98}  # as whole lines and register steps make it
    assert Light.MIXED not in {frame.light for frame in rig.read(6)}


def test_a_camera_that_never_takes_the_exposure_is_refused_with_what_it_does(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.reader.open()
    rig.sensor.metadata = {"ExposureTime": 15_000}
    with pytest.raises(ReaderError, match=r"15000 us.*exposure_us"):
        rig.read(40)


def test_controls_that_the_sensor_does_not_have_are_not_set(make: Callable[..., Rig]) -> None:
    rig = make()
    del rig.sensor.controls["NoiseReductionMode"], rig.sensor.controls["AeEnable"]
    rig.reader.open()
    assert "NoiseReductionMode" not in rig.cameras[0].acting
    assert rig.cameras[0].acting["ExposureTime"] == 4000
    assert rig.cameras[0].acting["Sharpness"] == 0.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda sensor: sensor.controls.pop("ExposureTime"), "can't set ExposureTime"),
        (lambda sensor: sensor.controls.update(FrameDurationLimits=(33_333, 1_000_000, 33_333)), "at most 30 frames"),
        (lambda sensor: setattr(sensor, "size", (320, 240)), "gives 320x240"),
        (lambda sensor: setattr(sensor, "format", "XBGR8888"), "no grey plane"),
        (lambda sensor: setattr(sensor, "opened", 1), "no other program"),
    ],
)
def test_a_camera_that_can_not_do_it_is_refused_in_words(
    make: Callable[..., Rig], change: Callable[[Sensor], None], said: str
) -> None:
    rig = make()
    change(rig.sensor)
    with pytest.raises(ReaderError, match=said):
        rig.reader.open()
    with pytest.raises(ReaderError, match="closed"):
        rig.reader.read(1.0)
    assert not rig.pins.pin(PARALLEL_PIN).state


def test_the_second_stall_in_a_row_asks_for_a_new_process(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.reader.open()
    rig.read(3)
    rig.sensor.stalled = True
    with pytest.raises(ReaderStalled):
        rig.reader.read(0.1)
    rig.sensor.stalled = False
    rig.read(2)
    rig.sensor.stalled = True
    with pytest.raises(ReaderStalled):
        rig.reader.read(0.1)
    rig.reader.close()  # what a supervisor does
    rig.reader.open()
    with pytest.raises(ReaderError, match="start again") as caught:
        rig.reader.read(0.1)
    assert not isinstance(caught.value, ReaderStalled)


def test_a_stall_leaves_one_job_not_one_for_each_try(make: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    """A forgotten job would take a later frame and never give its buffer back."""
    rig = make()
    rig.reader.open()
    asked: list[object] = []
    capture = FakePicamera2.capture_request

    def counted(camera: FakePicamera2, wait: bool) -> object:
        asked.append(capture(camera, wait))
        return asked[-1]

    monkeypatch.setattr(FakePicamera2, "capture_request", counted)
    rig.sensor.stalled = True
    for _ in range(3):
        with pytest.raises(ReaderError):
            rig.reader.read(0.01)
    rig.sensor.stalled = False
    rig.reader.read(1.0)
    assert len(asked) == 1


def test_a_library_that_hangs_is_noticed_without_hanging(make: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picamera2_reader, "OPEN_DEADLINE_S", 0.05)
    monkeypatch.setattr(picamera2_reader, "CLOSE_DEADLINE_S", 0.05)
    rig, release = make(), threading.Event()
    rig.sensor.hang = lambda: release.wait(30)
    with pytest.raises(ReaderError, match="hangs while opening"):
        rig.reader.open()
    release.set()


def test_a_new_adapter_starts_no_second_thread_beside_one_that_hangs(
    make: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A supervisor makes a new adapter for each try; what hangs is below it."""
    monkeypatch.setattr(picamera2_reader, "OPEN_DEADLINE_S", 0.05)
    monkeypatch.setattr(picamera2_reader, "CLOSE_DEADLINE_S", 0.05)
    shared, release = Troubles(), threading.Event()
    rigs = [make() for _ in range(5)]
    for rig in rigs:
        rig.sensor.hang = lambda: release.wait(30)
        rig.reader._troubles = shared
    with pytest.raises(ReaderError, match="hangs while opening"):
        rigs[0].reader.open()
    before = threading.active_count()
    for rig in rigs[1:]:
        with pytest.raises(ReaderError, match=r"has not come back.*start again"):
            rig.reader.open()
    assert threading.active_count() <= before
    release.set()


def test_stalls_are_counted_over_adapters(make: Callable[..., Rig]) -> None:
    shared = Troubles()
    for expected in (ReaderStalled, ReaderError):
        rig = make()
        rig.reader._troubles = shared
        rig.reader.open()
        rig.sensor.stalled = True
        with pytest.raises(expected) as caught:
            rig.reader.read(0.01)
        rig.reader.close()
    assert not isinstance(caught.value, ReaderStalled)


def test_closing_puts_the_banks_out_even_when_the_camera_hangs(make: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picamera2_reader, "CLOSE_DEADLINE_S", 0.05)
    rig, release = make(), threading.Event()
    rig.reader.open()
    rig.reader.pace(Pace.ACTIVE)
    rig.read(3)
    monkeypatch.setattr(FakePicamera2, "close", lambda camera: release.wait(30))
    rig.reader.close()
    assert not rig.pins.pin(PARALLEL_PIN).state
    assert not rig.pins.pin(CROSSED_PIN).state
    release.set()


def test_no_repr_and_no_error_carries_pixels(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.reader.open()
    rig.sensor.metadata = {"ExposureTime": 15_000}
    with pytest.raises(ReaderError) as caught:
        rig.read(40)
    assert "array" not in repr(rig.reader) + str(caught.value)


def test_software_banks_are_labelled_by_their_switches(make: Callable[..., Rig]) -> None:
    """The switcher's thread is replaced by its own single steps, so that nothing depends on the machine's scheduling."""
    rig = make(bank_order="software")
    from terminal.reader.light import Switcher
    from terminal.reader.lighting import SoftwareTimed

    banks = Banks(rig.options.bank_pins, rig.pins, rig.clock)
    switcher = Switcher(banks, CYCLE, rig.clock, lambda seconds: False)
    switcher.start = lambda: None  # type: ignore[method-assign]
    rig.reader._make_light = lambda: SoftwareTimed(banks, rig.clock, switcher)

    def lit(number: int) -> int:
        parallel, crossed = rig.pins.pin(PARALLEL_PIN).state, rig.pins.pin(CROSSED_PIN).state
        return rig.level_of[Light.PARALLEL if parallel else Light.CROSSED if crossed else Light.DARK]

    rig.sensor.level = lit
    rig.reader.open()
    rig.reader.pace(Pace.ACTIVE)
    frames = []
    for _ in range(40):
        frames.append(rig.reader.read(1.0))
        rig.clock.sleep(0.0008)
        switcher.step_once()
    told = [frame for frame in frames[12:] if frame.light is not Light.MIXED]
    by_level = {level: light for light, level in rig.level_of.items()}
    assert len(told) >= 24
    assert all(frame.light is by_level[int(frame.pixels[0, 0])] for frame in told)
    assert {frame.light for frame in told} == set(CYCLE)
