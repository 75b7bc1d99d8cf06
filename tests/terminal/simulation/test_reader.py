"""What is special about the simulated reader; the contract that all readers keep is tested in tests/terminal/reader/."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from terminal.config import ReaderOptions
from terminal.reader.frame import Frame, Light, Pace, ReaderError, ReaderStalled
from terminal.simulation.control import ask
from terminal.simulation.reader import CONTROL_DELAY_FRAMES, CYCLE, QUEUE_MAX, Faults, SimulatedReader
from terminal.simulation.scene import Actor

DEADLINE_S = 10.0
NONE = Faults(0, 0, 0)
STALE_MAX = QUEUE_MAX + 2
"""Frames from before a change: those that wait, one that is being painted, one that is being handed out."""


def options(**words: object) -> ReaderOptions:
    return ReaderOptions(kind="simulated", width_px=320, height_px=200, rate_hz=120, **words)


@pytest.fixture
def opened() -> Iterator[list[SimulatedReader]]:
    readers: list[SimulatedReader] = []
    yield readers
    for reader in readers:
        reader.close()


def start(opened: list[SimulatedReader], faults: Faults = NONE, **words: object) -> SimulatedReader:
    reader = SimulatedReader(options(**words), faults)
    opened.append(reader)
    reader.open()
    return reader


def some(reader: SimulatedReader, count: int) -> list[Frame]:
    return [reader.read(DEADLINE_S) for _ in range(count)]


def of_ada(reader: SimulatedReader, count: int) -> list[Frame]:
    """Frames that were exposed after the hand was there; how many older ones wait depends on the machine's load."""
    reader.stage.show("ada", seed=1, comes_in=False)
    shown_s = time.monotonic()
    frame = reader.read(DEADLINE_S)
    for _ in range(STALE_MAX):
        if frame.captured_s > shown_s:
            break
        frame = reader.read(DEADLINE_S)
    assert frame.captured_s > shown_s
    return [frame, *some(reader, count - 1)]


def test_the_banks_alternate_with_the_number_also_over_gaps(opened: list[SimulatedReader]) -> None:
    reader = start(opened, Faults(dropped=0.4, mixed=0, mislabelled=0))
    frames = some(reader, 30)
    assert all(frame.light is CYCLE[frame.number % 3] for frame in frames)
    assert any(after.number > before.number + 1 for before, after in pairwise(frames))


def test_the_label_is_true(opened: list[SimulatedReader]) -> None:
    reader = start(opened)
    for frame in of_ada(reader, 6):
        assert (int(frame.pixels.max()) > 50) is (frame.light is not Light.DARK)


def test_mixed_frames_say_so_and_mislabelled_ones_do_not(opened: list[SimulatedReader]) -> None:
    assert {f.light for f in some(start(opened, Faults(0, 1, 0)), 6)} == {Light.MIXED}
    wrong = start(opened, Faults(0, 0, 1))
    frames = of_ada(wrong, 30)
    assert all(frame.light is CYCLE[frame.number % 3] for frame in frames)
    assert any(int(frame.pixels.max()) > 50 for frame in frames if frame.light is Light.DARK)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_faults_are_shares(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Faults(dropped=share)


def test_a_change_of_pace_acts_later_and_is_labelled_truly(opened: list[SimulatedReader]) -> None:
    reader = start(opened, idle_rate_hz=30)
    some(reader, 3)
    reader.pace(Pace.IDLE)
    dark_from = reader._lit_from  # which number that is depends on how fast this machine is
    for frame in some(reader, QUEUE_MAX + 3):
        assert frame.light is (CYCLE[frame.number % 3] if frame.number < dark_from else Light.DARK)
    assert all(frame.light is Light.DARK for frame in some(reader, 4))
    reader.pace(Pace.ACTIVE)
    lit_from = reader._lit_from
    frames = some(reader, 9 + QUEUE_MAX)
    assert all(frame.light is (CYCLE[frame.number % 3] if frame.number >= lit_from else Light.DARK) for frame in frames)
    assert frames[-1].number >= lit_from


def test_a_change_of_pace_acts_two_frames_later(opened: list[SimulatedReader]) -> None:
    reader = start(opened)
    reader.read(DEADLINE_S)
    with reader._ready:  # the exposing thread waits: the number stands still
        asked_at = reader._number
        reader.pace(Pace.IDLE)
        assert reader._lit_from == asked_at + CONTROL_DELAY_FRAMES


def test_frames_have_the_asked_size_exposure_and_gain(opened: list[SimulatedReader]) -> None:
    frame = start(opened, exposure_us=2000, gain=4.0).read(DEADLINE_S)
    assert (frame.pixels.shape, frame.exposure_us, frame.gain) == ((200, 320), 2000, 4.0)


def test_the_text_of_a_frame_shows_no_pixels(opened: list[SimulatedReader]) -> None:
    assert "pixels" not in repr(start(opened).read(DEADLINE_S))


def test_it_opens_once(opened: list[SimulatedReader]) -> None:
    reader = start(opened)
    with pytest.raises(ReaderError, match="open already"):
        reader.open()


def test_a_failure_of_the_simulation_is_told_to_whoever_reads(
    opened: list[SimulatedReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = start(opened)
    some(reader, 2)

    def broken(when_s: float) -> list[Actor]:
        raise ZeroDivisionError("the hand fell off")

    monkeypatch.setattr(reader.stage, "actors", broken)
    with pytest.raises(ReaderError, match="fell off") as caught:
        some(reader, QUEUE_MAX + 2)
    assert not isinstance(caught.value, ReaderStalled)
    reader.close()
    monkeypatch.undo()
    reader.open()
    assert reader.read(DEADLINE_S).pixels.size


def test_the_control_socket_lives_as_long_as_the_reader(opened: list[SimulatedReader], tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    reader = start(opened, control_socket=path)
    assert ask(path, {"show": {"person": "ada", "seed": 2}})["ok"]
    assert reader.stage.status()["showing"]
    reader.close()
    assert not path.exists()


def test_nothing_is_written(opened: list[SimulatedReader], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No frame, no hand, no picture on any disk."""
    monkeypatch.chdir(tmp_path)
    reader = start(opened)
    reader.stage.show("ada", seed=1)
    some(reader, 12)
    reader.close()
    assert list(tmp_path.iterdir()) == []
