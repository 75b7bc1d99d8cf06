"""The contract of a Reader, as functions that take one. No pytest in here: the virtual camera runs it on another Python.

Each function raises AssertionError. `deadline_s` is generous: nothing here times anything.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from terminal.reader.frame import Frame, Light, Pace, Reader, ReaderEnded, ReaderError, ReaderStalled

DEADLINE_S = 30.0
FRAMES = 24
EFFECT_S = 0.5  # what Reader.pace promises


def _some(reader: Reader, count: int = FRAMES) -> list[Frame]:
    return [reader.read(DEADLINE_S) for _ in range(count)]


def frames_are_whole(reader: Reader) -> None:
    """Type, shape, read-only, sane exposure; and a frame kept is not written to by the next ones."""
    reader.open()
    reader.pace(Pace.ACTIVE)
    first = reader.read(DEADLINE_S)
    kept = first.pixels.copy()
    for frame in [first, *_some(reader)]:
        assert frame.pixels.dtype.name == "uint8"
        assert frame.pixels.ndim == 2
        assert frame.pixels.size > 0
        assert frame.pixels.shape == first.pixels.shape
        assert not frame.pixels.flags.writeable
        assert isinstance(frame.light, Light)
        assert 0 < frame.exposure_us < 1_000_000
        assert frame.gain > 0
    assert (first.pixels == kept).all(), "a later exposure was written into an earlier frame"


def numbers_and_stamps_increase(reader: Reader) -> None:
    reader.open()
    reader.pace(Pace.ACTIVE)
    for before, after in pairwise(_some(reader)):
        assert after.number > before.number
        assert after.captured_s > before.captured_s


def stamps_are_of_the_monotonic_clock(reader: Reader, clock: Callable[[], float]) -> None:
    reader.open()
    reader.pace(Pace.ACTIVE)
    reader.read(DEADLINE_S)
    frame = reader.read(DEADLINE_S)
    assert clock() - DEADLINE_S < frame.captured_s <= clock()


def banks_are_off_while_idle(reader: Reader) -> None:
    """Half a second after the change every frame is dark; numbers and stamps go on increasing."""
    reader.open()
    reader.pace(Pace.ACTIVE)
    active = _some(reader)
    reader.pace(Pace.IDLE)
    idle = _some(reader)
    settled = [frame for frame in idle if frame.captured_s > active[-1].captured_s + EFFECT_S]
    assert len(settled) >= 8
    assert all(frame.light is Light.DARK for frame in settled)
    frames = active + idle
    assert all(after.number > before.number and after.captured_s > before.captured_s for before, after in pairwise(frames))


def idle_is_slower(reader: Reader) -> None:
    reader.open()
    reader.pace(Pace.ACTIVE)
    active = _some(reader)[-8:]
    reader.pace(Pace.IDLE)
    idle = _some(reader)[-8:]
    # By their numbers: exposures that a loaded machine missed are gaps in them, not a slower pace.
    active_s, idle_s = ((some[-1].captured_s - some[0].captured_s) / (some[-1].number - some[0].number) for some in (active, idle))
    assert idle_s > 1.5 * active_s


def closing_is_harmless(reader: Reader) -> None:
    """Twice, before any open, and then reading is refused in words."""
    reader.close()
    reader.open()
    reader.pace(Pace.ACTIVE)
    reader.read(DEADLINE_S)
    reader.close()
    reader.close()
    try:
        reader.read(DEADLINE_S)
    except (ReaderStalled, ReaderEnded):
        raise AssertionError("a closed reader says that it is closed, not that nothing comes") from None
    except ReaderError:
        return
    raise AssertionError("read after close gave a frame")


def opens_again(reader: Reader, times: int = 5) -> None:
    """The supervisor's path: closed and opened anew it gives frames, and numbers never fall back."""
    last = -1
    for _ in range(times):
        reader.open()
        reader.pace(Pace.ACTIVE)
        frame = reader.read(DEADLINE_S)
        assert frame.number > last
        last = frame.number
        reader.close()


CONTRACT: tuple[Callable[[Reader], None], ...] = (
    frames_are_whole,
    numbers_and_stamps_increase,
    banks_are_off_while_idle,
    idle_is_slower,
    closing_is_harmless,
    opens_again,
)
