from __future__ import annotations

import itertools
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal.config import ReaderOptions
from terminal.reader import open_reader
from terminal.reader.frame import Frame, Light, Pace, ReaderEnded, ReaderError, ReaderStalled
from terminal.reader.recording import find, light_of_name, natural_key
from terminal.reader.replay import PictureError, ReplayReader, decode, to_grey
from tests.terminal.reader.pictures import Clock, folder, picture, video, write


def options(path: Path, **changes: object) -> ReaderOptions:
    return ReaderOptions.model_validate({"kind": "replay", "replay_path": path, "replay_paced": False, **changes})


def play(path: Path, **changes: object) -> list[Frame]:
    reader = open_reader(options(path, **changes))
    frames = []
    try:
        while True:
            frames.append(reader.read(1.0))
    except ReaderEnded:
        return frames
    finally:
        reader.close()


def levels(frames: list[Frame]) -> list[int]:
    return [round(float(frame.pixels.mean())) for frame in frames]


def test_a_folder_of_one_light_pictures_plays_in_natural_order_labelled_single(tmp_path: Path) -> None:
    folder(tmp_path, {"565_1.bmp": 50, "565_2.bmp": 60, "565_10.bmp": 70})
    frames = play(tmp_path)
    assert [round(level, -1) for level in levels(frames)] == [50, 60, 70]
    assert [frame.light for frame in frames] == [Light.SINGLE] * 3
    assert [frame.number for frame in frames] == [0, 1, 2]
    assert frames[0].pixels.dtype == np.uint8
    assert frames[0].pixels.shape == (40, 64)
    assert not frames[0].pixels.flags.writeable
    assert frames[0].exposure_us == ReaderOptions().exposure_us


@pytest.mark.parametrize(
    ("name", "light"),
    [
        ("0001_parallel.png", Light.PARALLEL),
        ("0001-CROSSED.bmp", Light.CROSSED),
        ("anna dark.png", Light.DARK),
        ("7_850p.png", Light.PARALLEL),
        ("7_850nmx.png", Light.CROSSED),
        ("hand_940c_2.png", Light.CROSSED),
        ("hand_850nm.png", Light.SINGLE),
        ("mixed_12.png", Light.MIXED),
        ("dark_room_crossed_3.png", Light.CROSSED),
        ("parker.png", None),
        ("565_1.bmp", None),
        ("2024_0850.png", None),
        ("offset.png", None),
    ],
)
def test_the_file_name_tells_the_light(name: str, light: Light | None) -> None:
    assert light_of_name(name) is light


@given(st.lists(st.text(max_size=12), max_size=8))
def test_natural_order_is_total_whatever_the_names(names: list[str]) -> None:
    once = sorted(names, key=natural_key)
    assert [natural_key(n) for n in once] == sorted(natural_key(n) for n in reversed(names))


def test_a_toml_sidecar_overrules_names_and_gives_defaults(tmp_path: Path) -> None:
    folder(tmp_path, {"1_dark.png": 10, "2.png": 20, "3.png": 30})
    (tmp_path / "lights.toml").write_text(
        '[default]\nlight = "crossed"\nexposure_us = 900\n[pictures]\n"1_dark.png" = { light = "parallel", gain = 4.0 }\n'
    )
    frames = play(tmp_path)
    assert [frame.light for frame in frames] == [Light.PARALLEL, Light.CROSSED, Light.CROSSED]
    assert [frame.exposure_us for frame in frames] == [900, 900, 900]
    assert [frame.gain for frame in frames] == [4.0, 2.0, 2.0]


def test_a_cycle_in_the_sidecar_labels_pictures_and_videos_in_turn(tmp_path: Path) -> None:
    turn = [Light.PARALLEL, Light.CROSSED, Light.DARK, Light.PARALLEL]
    pictures = folder(tmp_path / "p", {f"{i}.png": 10 for i in range(4)})
    (pictures / "lights.toml").write_text('[default]\ncycle = ["parallel", "crossed", "dark"]\n')
    clip = video(tmp_path / "clip.avi", [40, 60, 80, 100])
    (tmp_path / "clip.avi.lights.toml").write_text('[default]\ncycle = ["parallel", "crossed", "dark"]\nexposure_us = 700\n')
    assert [frame.light for frame in play(pictures)] == turn
    frames = play(clip)
    assert [frame.light for frame in frames] == turn
    assert [frame.exposure_us for frame in frames] == [700] * 4
    assert levels(frames) == pytest.approx([40, 60, 80, 100], abs=3)


def test_a_csv_sidecar_with_times_sets_order_and_pauses(tmp_path: Path) -> None:
    folder(tmp_path, {"a.png": 10, "b.png": 60, "c.png": 110})
    (tmp_path / "lights.csv").write_text(
        "file, light, exposure_us, time_s\nc.png,parallel,500,0\na.png,crossed,600,0.25\nb.png,dark,,1.0\n"
    )
    clock = Clock()
    reader = ReplayReader(options(tmp_path, replay_paced=True), clock=clock, sleep=clock.sleep)
    reader.open()
    frames = [reader.read(2.0) for _ in range(3)]
    assert [round(level, -1) for level in levels(frames)] == [110, 10, 60]
    assert [frame.light for frame in frames] == [Light.PARALLEL, Light.CROSSED, Light.DARK]
    assert [frame.captured_s - frames[0].captured_s for frame in frames] == pytest.approx([0.0, 0.25, 1.0])


@pytest.mark.parametrize(
    ("sidecar", "text", "said"),
    [
        ("lights.toml", "[default\n", "can't be understood"),
        ("lights.toml", '[default]\nligth = "dark"\n', "ligth"),
        ("lights.toml", '[default]\nlight = "green"\n', "green"),
        ("lights.toml", '[pictures]\n"9.png" = { light = "dark" }\n', "'9.png' is not in the folder"),
        ("lights.csv", "name,light\n1.png,dark\n", "heading"),
        ("lights.csv", "file,light\n1.png,dark\n1.png,dark\n", "a row already"),
        ("lights.csv", "file,light\n1.png,dark,3\n", "more columns"),
        ("lights.csv", "file,light,exposure_us\n1.png,dark,-4\n", "-4"),
        ("lights.csv", "file,time_s\n1.png,0\n2.png,0\n", "same time"),
        ("lights.csv", "file,time_s\n1.png,0\n2.png,90000\n", "seconds since"),
    ],
)
def test_a_wrong_sidecar_is_refused_with_its_name_and_reason(tmp_path: Path, sidecar: str, text: str, said: str) -> None:
    folder(tmp_path, {"1.png": 10, "2.png": 20})
    (tmp_path / sidecar).write_text(text)
    with pytest.raises(ReaderError, match=said) as caught:
        open_reader(options(tmp_path))
    assert sidecar in str(caught.value)


def test_two_sidecars_are_refused(tmp_path: Path) -> None:
    folder(tmp_path, {"1.png": 10})
    (tmp_path / "lights.toml").write_text("")
    (tmp_path / "lights.csv").write_text("file,light\n1.png,dark\n")
    with pytest.raises(ReaderError, match="Keep one"):
        open_reader(options(tmp_path))


def test_a_broken_picture_is_skipped_and_shows_as_a_gap(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder(tmp_path, {"1.png": 10, "4.png": 40})
    (tmp_path / "2.png").write_bytes(b"")
    (tmp_path / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"rubbish" * 20)
    with caplog.at_level(logging.WARNING):
        frames = play(tmp_path)
    assert [frame.number for frame in frames] == [0, 3]
    assert "2.png" in caplog.text
    assert "3.png" in caplog.text


@pytest.mark.parametrize("loop", [False, True])
def test_nothing_but_broken_pictures_ends_in_a_sentence_not_in_a_spin(tmp_path: Path, loop: bool) -> None:
    for index in range(30):
        (tmp_path / f"{index}.png").write_bytes(b"no")
    reader = open_reader(options(tmp_path, replay_loop=loop))
    with pytest.raises(ReaderError, match="not one picture"):
        reader.read(1.0)


def test_the_log_of_a_folder_of_rubbish_is_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for index in range(60):
        (tmp_path / f"{index}.png").write_bytes(b"no")
    with caplog.at_level(logging.WARNING), pytest.raises(ReaderError):
        open_reader(options(tmp_path)).read(1.0)
    assert sum("skipped=" in record.getMessage() for record in caplog.records) == 20


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_sixteen_bit_pictures_fill_eight_and_keep_their_ratio(tmp_path: Path, bits: int) -> None:
    top = (1 << bits) - 1
    for name, share in (("1_dark.png", 0.1), ("2.png", 1.0), ("3.png", 0.5)):
        write(tmp_path / name, np.full((40, 64), round(top * share), np.uint16))
    assert levels(play(tmp_path)) == pytest.approx([25, 255, 127], abs=1)


def test_the_sidecar_can_say_how_many_bits_are_used(tmp_path: Path) -> None:
    write(tmp_path / "1.png", np.full((40, 64), 1000, np.uint16))
    (tmp_path / "lights.toml").write_text("[default]\nbits = 12\n")
    assert levels(play(tmp_path)) == [1000 >> 4]


def test_colour_alpha_and_any_size_become_grey(tmp_path: Path) -> None:
    write(tmp_path / "1.png", np.full((200, 333, 3), 80, np.uint8))
    write(tmp_path / "2.png", np.full((17, 18, 4), 90, np.uint8))
    write(tmp_path / "3.pgm", np.full((1024, 1280), 100, np.uint8))
    frames = play(tmp_path)
    assert [frame.pixels.shape for frame in frames] == [(200, 333), (17, 18), (1024, 1280)]
    assert levels(frames) == [80, 90, 100]


def test_names_beyond_ascii_are_read(tmp_path: Path) -> None:
    folder(tmp_path, {"掌_crossed.png": 33})
    assert [frame.light for frame in play(tmp_path)] == [Light.CROSSED]


def test_pictures_too_small_too_large_or_in_floats_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="sides must be"):
        to_grey(np.zeros((8, 640), np.uint8), 8, "x")
    with pytest.raises(PictureError, match="8 or 16 bits"):
        to_grey(np.zeros((40, 40), np.float32), 8, "x")
    huge = tmp_path / "huge.png"
    with huge.open("wb") as file:
        file.truncate(65 * 1024 * 1024)
    with pytest.raises(PictureError, match="larger than"):
        decode(huge)


@pytest.mark.parametrize("name", ["none", "empty", "people", "notes.txt", "fake.mp4"])
def test_what_is_no_recording_is_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "people" / "anna").mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "fake.mp4").write_bytes(b"not a video")
    said = {
        "none": "Set .reader. replay_path",
        "empty": "no picture here",
        "people": "anna",
        "notes.txt": "Put pictures into a folder",
        "fake.mp4": "Convert it",
    }[name]
    with pytest.raises(ReaderError, match=said):
        open_reader(options(tmp_path / name)).read(1.0)


def test_replay_without_a_path_and_the_simulated_kind_are_refused() -> None:
    with pytest.raises(ReaderError, match="replay_path"):
        open_reader(ReaderOptions(kind="replay"))
    with pytest.raises(ReaderError, match="app alone"):
        open_reader(ReaderOptions(kind="simulated"))


def test_the_rate_is_kept_in_real_time_and_late_readers_lose_nothing(tmp_path: Path) -> None:
    folder(tmp_path, {f"{i}.png": 10 * i for i in range(1, 6)})
    clock = Clock()
    reader = ReplayReader(options(tmp_path, replay_paced=True, rate_hz=20), clock=clock, sleep=clock.sleep)
    reader.open()
    first, second = reader.read(1.0), reader.read(1.0)
    clock.sleep(0.4)
    third, fourth = reader.read(1.0), reader.read(1.0)
    stamps = [frame.captured_s - first.captured_s for frame in (first, second, third, fourth)]
    assert stamps == pytest.approx([0.0, 0.05, 0.45, 0.5])
    assert [frame.number for frame in (first, second, third, fourth)] == [0, 1, 2, 3]


def test_a_frame_that_is_not_due_within_the_deadline_stalls_and_comes_later(tmp_path: Path) -> None:
    folder(tmp_path, {"1.png": 10, "2.png": 60})
    clock = Clock()
    reader = ReplayReader(options(tmp_path, replay_paced=True, rate_hz=5), clock=clock, sleep=clock.sleep)
    reader.open()
    reader.read(1.0)
    begun_s = clock()
    with pytest.raises(ReaderStalled):
        reader.read(0.05)
    assert clock() - begun_s == pytest.approx(0.05)
    assert round(levels([reader.read(1.0)])[0], -1) == 60


def test_while_idle_the_recording_stands_still_and_the_banks_are_off(tmp_path: Path) -> None:
    folder(tmp_path, {"1.png": 10, "2.png": 60})
    clock = Clock()
    reader = ReplayReader(options(tmp_path, idle_rate_hz=5), clock=clock, sleep=clock.sleep)
    reader.open()
    first = reader.read(1.0)
    reader.pace(Pace.IDLE)
    idle = [reader.read(1.0) for _ in range(10)]
    reader.pace(Pace.ACTIVE)
    second = reader.read(1.0)
    assert {frame.light for frame in idle} == {Light.DARK}
    assert {int(frame.pixels.max()) for frame in idle} == {0}
    assert idle[0].pixels.shape == first.pixels.shape
    assert idle[-1].captured_s - first.captured_s == pytest.approx(2.0)
    assert round(levels([second])[0], -1) == 60
    assert [f.number for f in [first, *idle, second]] == list(range(12))


def test_a_loop_goes_on_with_rising_numbers_and_stamps(tmp_path: Path) -> None:
    folder(tmp_path, {"1.png": 10, "2.png": 60})
    reader = open_reader(options(tmp_path, replay_loop=True))
    frames = [reader.read(1.0) for _ in range(5)]
    assert [round(level, -1) for level in levels(frames)] == [10, 60, 10, 60, 10]
    assert [frame.number for frame in frames] == [0, 1, 2, 3, 4]
    assert all(a.captured_s < b.captured_s for a, b in itertools.pairwise(frames))


def test_no_picture_is_opened_before_its_turn(tmp_path: Path) -> None:
    """A folder of 100,000 pictures must not be read at start."""
    folder(tmp_path, {"1.png": 10})
    (tmp_path / "2.png").write_bytes(b"broken")
    assert len(find(tmp_path).stills) == 2
    assert open_reader(options(tmp_path)).read(1.0).number == 0


def test_exif_turns_pictures_upright(tmp_path: Path) -> None:
    done, jpeg = cv2.imencode(".jpg", picture(100))
    assert done
    body = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
    data = jpeg.tobytes()
    (tmp_path / "1.jpg").write_bytes(data[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + data[2:])
    assert play(tmp_path)[0].pixels.shape == (64, 40)
