from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terminal.palm.types import Side
from terminal.reader.frame import Light
from terminal.simulation import optics
from terminal.simulation.anatomy import Posture
from terminal.simulation.conditions import Conditions, Subject
from terminal.simulation.person import Person
from terminal.simulation.scene import Actor, Pose, Rendered, render, render_empty, render_scene

PERSON = Person.from_seed(11)
FLAT = Pose(bend=0.0, curl=0.0, posture=Posture(spread=0.5))
CLEAN = Conditions(room=0.0, noise=0.0)
SMALL = (200, 320)


def seen(
    pose: Pose = FLAT, light: Light = Light.PARALLEL, side: Side = Side.RIGHT, size: tuple[int, int] = SMALL, **words: object
) -> Rendered:
    conditions = replace(CLEAN, **words)  # type: ignore[arg-type]
    return render(PERSON, side, pose, light, conditions, np.random.default_rng(1), size)


def at(picture: Rendered, x: float, y: float) -> int:
    return int(picture.pixels[round(y), round(x)])


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(
    "pose",
    [
        FLAT,
        replace(FLAT, bend=0.25, curl=0.4),
        replace(FLAT, roll_deg=50.0, yaw_deg=20.0, pitch_deg=-15.0, bend=0.2, position_mm=(12.0, 8.0, 130.0)),
        replace(FLAT, roll_deg=-80.0, yaw_deg=-25.0, bend=0.15, position_mm=(-10.0, 5.0, 90.0)),
    ],
    ids=["flat", "cupped", "turned", "sideways"],
)
def test_the_truth_is_where_the_picture_shows_it(pose: Pose, side: Side) -> None:
    """Bright skin below each valley and a dark gap above it, in the picture itself, whatever the pose."""
    frame = seen(pose, side=side, size=(400, 640))
    truth = frame.truth
    middle = truth.valleys.mean(0)
    down = (truth.wrist - middle) / np.linalg.norm(truth.wrist - middle)
    span = float(np.linalg.norm(truth.valleys[0] - truth.valleys[2]))
    looked = 0
    for valley in truth.valleys:
        below, above = valley + 0.14 * span * down, valley - 0.24 * span * down
        if not all((8 < p[0] < 632) and (8 < p[1] < 392) for p in (below, above)):
            continue
        looked += 1
        around = frame.pixels[round(above[1]) - 3 : round(above[1]) + 4, round(above[0]) - 3 : round(above[0]) + 4]
        assert int(around.min()) < 0.55 * at(frame, *below)
    assert looked >= 2


def test_a_right_palm_has_its_thumb_and_index_on_the_right() -> None:
    right, left = seen(side=Side.RIGHT), seen(side=Side.LEFT)
    assert right.truth.valleys[0, 0] > right.truth.valleys[2, 0]
    assert left.truth.valleys[0, 0] < left.truth.valleys[2, 0]
    wide = SMALL[1] // 2
    assert right.pixels[:, wide + 60 :].astype(int).sum() > 1.5 * right.pixels[:, : wide - 60].astype(int).sum()
    assert left.pixels[:, wide + 60 :].astype(int).sum() < 0.7 * left.pixels[:, : wide - 60].astype(int).sum()


def test_the_back_of_a_right_hand_looks_like_a_left_palms_outline_and_is_no_palm() -> None:
    back = seen(subject=Subject.BACK)
    assert back.truth.side is Side.RIGHT
    assert not back.truth.palm_up
    assert back.truth.valleys[0, 0] < back.truth.valleys[2, 0]


def test_angles_mean_what_they_say() -> None:
    def across(pose: Pose) -> np.ndarray:
        valleys = seen(pose).truth.valleys
        return np.asarray(valleys[0] - valleys[2])

    level, rolled = across(FLAT), across(replace(FLAT, roll_deg=30.0))
    assert abs(level[1]) < 0.5
    assert np.rad2deg(np.arctan2(rolled[1], rolled[0])) == pytest.approx(30, abs=3)
    # yaw > 0 takes the picture's right side away: the half-span on the right shrinks
    v = seen(replace(FLAT, yaw_deg=30.0)).truth.valleys
    straight = seen(FLAT).truth.valleys
    share = (v[0, 0] - v[1, 0]) / (v[0, 0] - v[2, 0])
    assert share < (straight[0, 0] - straight[1, 0]) / (straight[0, 0] - straight[2, 0])
    # pitch > 0 takes the fingertips away: the valleys, above the middle of the palm, come closer together
    assert np.linalg.norm(across(replace(FLAT, pitch_deg=25.0))) < np.linalg.norm(level)


def test_size_falls_with_distance_as_in_a_pinhole_and_light_faster() -> None:
    near, far = (seen(replace(FLAT, position_mm=(0.0, 0.0, z))) for z in (90.0, 180.0))
    spans = [float(np.linalg.norm(p.truth.valleys[0] - p.truth.valleys[2])) for p in (near, far)]
    assert spans[0] / spans[1] == pytest.approx(2, rel=0.02)
    expected = near.truth.span_mm / 90 * optics.FOCAL_WIDTHS * SMALL[1]
    assert spans[0] == pytest.approx(expected, rel=0.03)
    bright = [float(np.median(p.pixels[95:105, 155:165])) for p in (near, far)]
    assert bright[0] > 2.5 * bright[1]


def test_the_hand_at_110_mm_fills_about_half_of_the_frame() -> None:
    assert 0.3 < (seen().pixels > 30).mean() < 0.62


def test_no_light_no_picture() -> None:
    assert seen(light=Light.DARK).pixels.max() <= 2
    assert seen(light=Light.DARK, ambient=0.5).pixels.max() > 25


def test_daylight_is_in_every_frame_alike_so_that_it_cancels() -> None:
    lit, dark, alone = seen(ambient=0.4), seen(light=Light.DARK, ambient=0.4), seen()
    difference = lit.pixels.astype(int) - dark.pixels
    inside = (alone.pixels > 60) & (lit.pixels < 250)
    assert inside.sum() > 5000
    assert np.abs(difference[inside] - alone.pixels[inside]).max() <= 3


def test_both_polarisations_show_the_same_hand_differently() -> None:
    surface, depth = (seen(light=light, size=(400, 640)).pixels.astype(float) for light in (Light.PARALLEL, Light.CROSSED))
    inside = slice(180, 330), slice(230, 400)

    def texture(picture: np.ndarray) -> np.ndarray:
        cut = picture[inside]
        detail = cut - cv2.GaussianBlur(cut, (0, 0), 6)
        return np.asarray(detail / detail.std())

    alike = float((texture(surface) * texture(depth)).mean())
    assert 0.1 < alike < 0.85


def test_a_mixed_frame_is_between_both() -> None:
    frames = {
        light: float(seen(light=light).pixels[80:120, 140:180].mean()) for light in (Light.PARALLEL, Light.CROSSED, Light.MIXED)
    }
    assert min(frames.values()) - 1 <= frames[Light.MIXED] <= max(frames.values()) + 1


def test_near_hands_clip_and_sunny_ones_too() -> None:
    assert (seen(replace(FLAT, position_mm=(0.0, 0.0, 52.0))).pixels == 255).mean() > 0.05
    assert (seen(sun=3.0).pixels == 255).mean() > 0.02


def test_motion_smears() -> None:
    fast = replace(FLAT, velocity_mm_s=(900.0, 0.0, 0.0))
    still, moved = (np.abs(np.diff(seen(p, size=(400, 640)).pixels.astype(int), axis=1)).max() for p in (FLAT, fast))
    assert moved < 0.75 * still


def test_the_same_seed_makes_the_same_frame_and_noise_is_new_each_time() -> None:
    def noisy(seed: int) -> np.ndarray:
        return render(PERSON, Side.RIGHT, FLAT, Light.PARALLEL, Conditions(), np.random.default_rng(seed), SMALL).pixels

    assert (noisy(1) == noisy(1)).all()
    difference = noisy(1).astype(int) - noisy(2)
    assert 0.3 < difference.std() < 6


@pytest.mark.parametrize("size", [(100, 160), (200, 320), (400, 640), (320, 320), (800, 1280), (1088, 1456)])
def test_every_frame_size_shows_the_same_scene(size: tuple[int, int]) -> None:
    frame = seen(size=size)
    assert frame.pixels.shape == size
    assert frame.pixels.dtype == np.uint8
    scale = size[1] / SMALL[1]
    reference = seen().truth.valleys - np.array([(SMALL[1] - 1) / 2, (SMALL[0] - 1) / 2])
    here = frame.truth.valleys - np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
    assert np.abs(here / scale - reference).max() < 0.05


def test_two_hands_the_nearer_one_in_front() -> None:
    far = Actor(PERSON, Side.RIGHT, replace(FLAT, position_mm=(-20.0, 0.0, 160.0)), CLEAN)
    near = Actor(Person.from_seed(12), Side.LEFT, replace(FLAT, position_mm=(25.0, 0.0, 90.0)), CLEAN)
    pixels, truths = render_scene([far, near], Light.PARALLEL, replace(CLEAN, room=0.2), np.random.default_rng(1), SMALL)
    alone, _ = render_scene([near], Light.PARALLEL, replace(CLEAN, room=0.2), np.random.default_rng(1), SMALL)
    assert len(truths) == 2
    core = alone > 110
    assert core.sum() > 2000
    assert np.abs(pixels[core].astype(int) - alone[core]).mean() < 12


def test_an_empty_room_is_dark_until_somebody_opens_a_window() -> None:
    rng = np.random.default_rng(1)
    assert render_empty(Light.PARALLEL, Conditions(room=0.0), rng, SMALL).max() < 8
    assert render_empty(Light.DARK, Conditions(room=0.1, window=0.9), rng, SMALL).max() > 120


@settings(max_examples=24, deadline=None)
@given(st.integers(0, 2**20))
def test_any_drawn_scene_renders(seed: int) -> None:
    rng = np.random.default_rng(seed)
    subject = list(Subject)[seed % len(Subject)]
    conditions = replace(Conditions.draw(rng, 2.0), subject=Subject.PALM if subject is Subject.NOTHING else subject)
    light = list(Light)[seed % len(Light)]
    frame = render(Person.from_seed(seed), list(Side)[seed % 2], Pose.draw(rng), light, conditions, rng, (100, 160))
    assert frame.pixels.shape == (100, 160)
    assert np.isfinite(frame.truth.valleys).all()
    assert frame.truth.palm_up is (conditions.subject is Subject.PALM)


def test_no_text_of_a_frame_shows_pixels() -> None:
    assert "pixels" not in repr(seen())
