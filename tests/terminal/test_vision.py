"""The vision thread: only the latest counts, a stalled reader is opened again, a broken one is a fault, nothing is kept."""

from __future__ import annotations

import asyncio
import logging
import queue
from collections.abc import Callable

import numpy as np
import pytest

from terminal import vision as vision_module
from terminal.config import ReaderOptions
from terminal.palm.types import Guidance, Look, Side
from terminal.reader.frame import Frame, Light, Pace, ReaderEnded, ReaderError, ReaderStalled
from terminal.vision import MAILBOX_MAX, PUSH_ERRORS_MAX, RESTARTS_MAX, Health, Seen, Vision

PIXELS = np.zeros((4, 4), np.uint8)


def frame(number: int) -> Frame:
    return Frame(number, PIXELS, Light.PARALLEL, 0.0, 4000, 1.0)


class FakeReader:
    """Gives what a test puts in: frames, errors."""

    def __init__(self) -> None:
        self.things: queue.Queue[Frame | Exception] = queue.Queue()
        self.paces: list[Pace] = []
        self.opened = self.closed = 0
        self.refuse: ReaderError | None = None

    def open(self) -> None:
        self.opened += 1

    def opener(self) -> FakeReader:
        if self.refuse is not None:
            raise self.refuse
        self.open()
        return self

    def read(self, deadline_s: float) -> Frame:
        try:
            thing = self.things.get(timeout=0.05)
        except queue.Empty:
            return frame(0)
        if isinstance(thing, Exception):
            raise thing
        return thing

    def pace(self, pace: Pace) -> None:
        self.paces.append(pace)

    def close(self) -> None:
        self.closed += 1


class FakePipeline:
    model_version = "palm-test"

    def __init__(self) -> None:
        self.resets = 0
        self.pushed: list[int] = []
        self.answer: Callable[[Frame], list[Look | Guidance]] = lambda _: []

    def push(self, frame: Frame) -> list[Look | Guidance]:
        self.pushed.append(frame.number)
        return self.answer(frame)

    def reset(self) -> None:
        self.resets += 1


class Eyes:
    def __init__(self) -> None:
        self.reader, self.pipeline = FakeReader(), FakePipeline()
        self.seen: list[Seen] = []
        self.changes = 0
        self.vision = Vision(ReaderOptions(), self.reader.opener, self.make, self.seen.append, self.changed)
        self.broken: Exception | None = None

    def make(self) -> FakePipeline:
        if self.broken is not None:
            raise self.broken
        return self.pipeline

    def changed(self) -> None:
        self.changes += 1

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not true():  # noqa: ASYNC110 - another thread does it
                await asyncio.sleep(0.005)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vision_module, "RESTART_PAUSE_S", 0.0)
    monkeypatch.setattr(vision_module, "FAULT_PAUSE_S", 0.0)


async def test_nothing_is_looked_at_until_somebody_is_expected() -> None:
    eyes = Eyes()
    eyes.vision.start()
    await eyes.until(lambda: eyes.vision.frames > 2)
    assert eyes.pipeline.pushed == []
    assert eyes.reader.paces == [Pace.IDLE]
    assert eyes.vision.health is Health.WELL
    eyes.vision.look(1)
    await eyes.until(lambda: bool(eyes.pipeline.pushed))
    assert eyes.reader.paces == [Pace.IDLE, Pace.ACTIVE]
    resets = eyes.pipeline.resets
    eyes.vision.rest()
    await eyes.until(lambda: eyes.pipeline.resets > resets)
    assert eyes.reader.paces[-1] is Pace.IDLE
    await eyes.vision.stop()
    assert eyes.reader.closed == 1
    assert eyes.vision.model_version == "palm-test"


async def test_what_is_seen_carries_its_visit_and_the_old_is_dropped() -> None:
    eyes = Eyes()
    eyes.pipeline.answer = lambda _: [Guidance.HIGHER]
    eyes.vision.start()
    eyes.vision.look(7)
    await eyes.until(lambda: bool(eyes.seen))
    assert eyes.seen[0] == Seen(7, Guidance.HIGHER)
    eyes.vision.look(8)
    await eyes.until(lambda: eyes.seen[-1].visit == 8)
    visits = [seen.visit for seen in eyes.seen]
    assert visits == sorted(visits)
    await eyes.vision.stop()


async def test_the_mailbox_is_bounded_and_the_latest_win() -> None:
    eyes = Eyes()
    many = [Look(n, 0.0, Side.RIGHT, 1.0, "m") for n in range(20)]
    eyes.pipeline.answer = lambda f: list(many) if f.number == 5 else []
    eyes.vision.start()
    eyes.vision.look(1)
    await eyes.until(lambda: bool(eyes.pipeline.pushed))
    eyes.reader.things.put(frame(5))
    await eyes.until(lambda: len(eyes.seen) == MAILBOX_MAX)
    numbers = [seen.what.frame_number for seen in eyes.seen if isinstance(seen.what, Look)]
    assert numbers == list(range(20 - MAILBOX_MAX, 20))
    assert eyes.vision.dropped == 20 - MAILBOX_MAX
    await eyes.vision.stop()


@pytest.mark.usefixtures("quick")
async def test_a_stalled_reader_is_opened_again() -> None:
    eyes = Eyes()
    eyes.reader.things.put(ReaderStalled("no frame"))
    eyes.vision.start()
    await eyes.until(lambda: eyes.reader.opened == 2 and eyes.vision.frames > 0)
    assert (eyes.reader.closed, eyes.vision.restarts, eyes.vision.health) == (1, 1, Health.WELL)
    await eyes.vision.stop()


@pytest.mark.usefixtures("quick")
async def test_too_many_restarts_are_a_fault_and_it_may_recover(caplog: pytest.LogCaptureFixture) -> None:
    eyes = Eyes()
    eyes.reader.refuse = ReaderError("no camera answers; check the cable")
    eyes.vision.start()
    await eyes.until(lambda: eyes.vision.health is Health.FAULT)
    assert eyes.vision.restarts > RESTARTS_MAX
    said = [r for r in caplog.records if r.levelno >= logging.WARNING and "reader lost" in r.getMessage()]
    assert len(said) == 1, "once for all tries with the same reason"
    assert (eyes.vision.code, eyes.vision.sentence) == ("reader", "no camera answers; check the cable")
    eyes.reader.refuse = None
    await eyes.until(lambda: eyes.vision.health is Health.WELL)
    await eyes.until(lambda: eyes.changes >= 2)
    await eyes.vision.stop()


async def test_models_that_cannot_be_used_are_a_fault_with_their_sentence() -> None:
    eyes = Eyes()
    eyes.broken = RuntimeError("palm.onnx is missing")
    eyes.vision.start()
    await eyes.until(lambda: eyes.vision.health is Health.FAULT)
    assert eyes.vision.code == "model"
    assert "palm.onnx is missing" in eyes.vision.sentence
    await eyes.vision.stop()


async def test_a_recording_that_ends_is_said() -> None:
    eyes = Eyes()
    eyes.reader.things.put(ReaderEnded("the end"))
    eyes.vision.start()
    await eyes.until(lambda: eyes.vision.health is Health.FAULT)
    assert "no more frames" in eyes.vision.sentence
    await eyes.vision.stop()


@pytest.mark.usefixtures("quick")
async def test_one_bad_frame_is_skipped_and_many_restart_the_reader() -> None:
    eyes = Eyes()
    bad = {"left": 1}

    def answer(_: Frame) -> list[Look | Guidance]:
        if bad["left"] > 0:
            bad["left"] -= 1
            raise ValueError("a bad frame")
        return [Guidance.GOOD]

    eyes.pipeline.answer = answer
    eyes.vision.start()
    eyes.vision.look(1)
    await eyes.until(lambda: bool(eyes.seen))
    assert eyes.vision.restarts == 0
    bad["left"] = PUSH_ERRORS_MAX
    for number in range(PUSH_ERRORS_MAX):
        eyes.reader.things.put(frame(number))
    await eyes.until(lambda: eyes.vision.restarts == 1)
    await eyes.vision.stop()


async def test_gaps_in_the_numbers_are_counted_while_looking() -> None:
    eyes = Eyes()
    eyes.vision.start()
    eyes.vision.look(1)
    await eyes.until(lambda: bool(eyes.pipeline.pushed))
    for number in (10, 11, 15):
        eyes.reader.things.put(frame(number))
    await eyes.until(lambda: 15 in eyes.pipeline.pushed)
    assert eyes.vision.frames_missed >= 3
    await eyes.vision.stop()
