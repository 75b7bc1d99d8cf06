"""People and views: the same from the same seed, different from another, and as faint as real palms are."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from models import palm_people
from models.palm_generator import POLARISATIONS, Palm, Regime, Studio, classes, pose
from models.palm_people import PEOPLE_SEED_HELD_OUT, PEOPLE_SIDE_PX, Maps, crowd, grown, person
from models.statistics import bands, likeness, strangers_of, summary
from terminal.simulation.skin import SKIN_SIDE_PX_MAX, Skin, grow


@pytest.fixture(scope="module")
def people() -> Maps:
    return crowd(5_000_000, 3)


def test_skin_follows_from_its_seed() -> None:
    one, again, other = grow(7, 192), grow(7, 192), grow(8, 192)
    assert np.array_equal(one.surface, again.surface)
    assert np.array_equal(one.veins, again.veins)
    assert not np.allclose(one.surface, other.surface, atol=0.02)
    assert not np.allclose(one.veins, other.veins, atol=0.02)


def test_skin_is_multiplicative_around_plain_skin() -> None:
    skin = grow(3, 256)
    for part in (skin.surface, skin.veins):
        assert part.shape == (256, 256)
        assert part.dtype == np.float32
        assert 0.9 < float(np.median(part)) < 1.1
        assert float(part.min()) > 0.2
    assert "surface" not in repr(skin)


@pytest.mark.parametrize("side", [0, 63, SKIN_SIDE_PX_MAX + 1])
def test_skin_of_impossible_size_is_refused(side: int) -> None:
    with pytest.raises(ValueError, match="side_px"):
        grow(1, side)


def test_relatives_share_the_course_of_their_main_lines_and_nothing_else() -> None:
    """Blurred to the width of a crease, two of a family are more alike than two strangers; their veins and fine lines are not."""

    def likeness(one: Skin, other: Skin, sigma_px: float) -> float:
        maps = [cv2.GaussianBlur(1 - np.minimum(skin.surface, 0.95), (0, 0), sigma_px) for skin in (one, other)]
        return float(np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1])

    pairs = [(2 * k, 2 * k + 1) for k in range(6)]
    strangers = np.mean([likeness(grow(a, 192), grow(b, 192), 3.0) for a, b in pairs])
    relatives = np.mean([likeness(grow(a, 192, family=k), grow(b, 192, family=k), 3.0) for k, (a, b) in enumerate(pairs)])
    assert relatives > strangers + 0.1
    one, other = grow(0, 192, family=5), grow(1, 192, family=5)
    assert np.array_equal(one.veins, grow(0, 192).veins)
    assert not np.allclose(one.surface, other.surface, atol=0.02)


def test_only_people_trained_on_have_relatives(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int | None]] = []

    def noted(seed: int, side_px: int, family: int | None = None) -> Skin:
        asked.append((seed, family))
        return grow(seed, side_px)

    monkeypatch.setattr(palm_people, "grow", noted)
    for seed in (*range(7), PEOPLE_SEED_HELD_OUT):
        person(seed)
    assert [family for _, family in asked] == [0, 0, 0, None, None, None, 1, None]


def test_lines_and_veins_are_independent_identities() -> None:
    skin = grow(11, 256)
    correlation = np.corrcoef(skin.surface.ravel(), skin.veins.ravel())[0, 1]
    assert abs(correlation) < 0.2


def test_a_crowd_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "crowd.npy"
    first = np.array(grown(file, 60, 2))
    assert first.shape == (2, 2, PEOPLE_SIDE_PX, PEOPLE_SIDE_PX)
    assert not file.with_suffix(".part").exists()
    assert np.array_equal(first, grown(file, 60, 2))
    assert np.array_equal(first, crowd(60, 2))
    with pytest.raises(ValueError, match="holds 2 people"):
        grown(file, 60, 3)


def test_views_follow_from_seed_palm_and_number(people: Maps) -> None:
    palms = [Palm(i, i, Regime.MIXED) for i in range(3)]
    one, again, other = Studio(people, palms, 1), Studio(people, palms, 1), Studio(people, palms, 2)
    assert np.array_equal(one.view(4, 1), again.view(4, 1))
    assert not np.array_equal(one.view(4, 1), one.view(5, 1))
    assert not np.array_equal(one.view(4, 1), other.view(4, 1))
    pictures, labels, errors = one.batch(9, 8)
    assert errors.shape == (8, 4)
    assert np.abs(errors).max() < 0.5
    assert pictures.shape == (8, 128, 128)
    assert pictures.dtype == np.uint8
    assert np.array_equal(labels[0::2], labels[1::2])
    assert np.array_equal(pictures, again.batch(9, 8)[0])


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_palm_is_the_same_skin_turned(people: Maps, turns: int) -> None:
    turned_skin = np.ascontiguousarray(np.rot90(people, -turns, (2, 3)))
    turned = Studio(people, [Palm(0, 0, Regime.MIXED, turns=turns)], 3).view(1, 0).astype(np.int64)
    upright = [Studio(maps, [Palm(0, 0, Regime.MIXED)], 3).view(1, 0) for maps in (turned_skin, people)]
    # The middle of a map lies a third of a pixel beside that of the square.
    assert np.abs(turned - upright[0]).mean() < 1.0
    assert np.abs(turned - upright[1]).mean() > 4.0


def test_careless_views_are_misplaced_by_more(people: Maps) -> None:
    palms = [Palm(0, 0, Regime.SURFACE)] * 40
    careful, careless = (Studio(people, palms, 3, careless=share).batch(0, 80)[2] for share in (0.0, 1.0))
    assert np.all(careless.std(axis=0) > 1.3 * careful.std(axis=0))


def test_presentations_are_as_careless_as_asked(people: Maps) -> None:
    apart = []
    for share in (0.0, 1.0):
        studio = Studio(people, [Palm(0, 0, Regime.MIXED)], 3, careless=share)
        looks = np.array([studio.presentation(number, 0, 1)[0, 0] for number in range(30)], np.float64)
        looks -= looks.mean(axis=(1, 2), keepdims=True)
        looks /= looks.std(axis=(1, 2), keepdims=True)
        apart.append(float((looks[0::2] * looks[1::2]).mean()))
    careful, careless = apart
    assert careful > careless


def test_frames_of_a_presentation_resemble_each_other(people: Maps) -> None:
    studio = Studio(people, [Palm(0, 0, Regime.MIXED)], 1)
    lit = studio.presentation(0, 0, 3).astype(np.float64)
    assert lit.shape == (len(POLARISATIONS), 3, 128, 128)
    within = np.abs(lit[0, 0] - lit[0, 1]).mean()
    across = np.abs(lit[0, 0] - studio.presentation(1, 0, 1)[0, 0]).mean()
    assert 0 < within < across


def test_classes_are_distinct_and_reproducible() -> None:
    palms = classes(1, 100, 200)
    assert palms == classes(1, 100, 200)
    assert palms != classes(2, 100, 200)
    assert len(set(palms)) == 200
    assert {palm.regime for palm in palms} == set(Regime)
    assert 0.55 < sum(palm.turns == 0 for palm in palms) / len(palms) < 0.78
    assert 0.35 < sum(palm.crop == 1.0 and palm.offset == (0.0, 0.0) for palm in palms) / len(palms) < 0.65
    assert {palm.turns for palm in palms} == {0, 1, 2, 3}
    twins = [(a, b) for a, b in itertools.pairwise(palms) if a.regime is b.regime is Regime.MIXED]
    assert any((a.surface == b.surface) != (a.veins == b.veins) for a, b in twins), "no twins: creases or veins alone never decide"
    with pytest.raises(ValueError, match="too few"):
        classes(1, 10, 200)


@pytest.mark.parametrize("turns", range(4))
def test_a_pose_says_how_it_lies_beside_the_canonical_palm(turns: int) -> None:
    """Convention and error together: undone, an archive's own square shows the canonical one."""
    height, width = 2 * [PEOPLE_SIDE_PX]
    smooth = cv2.GaussianBlur(np.random.default_rng(2).normal(0, 1, (height, width)).astype(np.float32), (0, 0), 9)
    own, canonical = Palm(0, 0, Regime.SURFACE, 0.8, True, turns, (0.05, 0.12)), Palm(0, 0, Regime.SURFACE, 1.0, True, turns)
    taken = pose(np.random.default_rng(5), own, 0.1, 1.0)
    straight = pose(np.random.default_rng(5), canonical, 0.0, 1.0)
    across, along, turn, scale = taken.error
    axis = (np.arange(128) + 0.5) / 128 - 0.5
    u, v = np.meshgrid(axis * np.exp(-scale), axis * np.exp(-scale))
    x, y = u - across, v - along
    x, y = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    column, row = (((part + 0.5) * 128 - 0.5).astype(np.float32) for part in (x, y))
    seen, wanted = (cv2.remap(smooth, where.x, where.y, cv2.INTER_LINEAR) for where in (taken, straight))
    undone = cv2.remap(seen, column, row, cv2.INTER_LINEAR)
    inner = (slice(40, -40), slice(40, -40))
    assert np.corrcoef(undone[inner].ravel(), wanted[inner].ravel())[0, 1] > 0.98
    assert np.corrcoef(seen[inner].ravel(), wanted[inner].ravel())[0, 1] < 0.9


def test_strangers_share_what_all_palms_share() -> None:
    """The mean over many people still shows their main lines, as it does in research sets (correlation of strangers 0.05 to 0.15)."""
    palms = [(110 * grow(9_000_000 + k, 240).surface[76:204, 56:184]).clip(0, 255).astype(np.uint8) for k in range(40)]
    assert 0.07 < likeness(palms)[0] < 0.2


def test_bands_measure_what_they_say() -> None:
    x = np.arange(128)
    stripes = (128 + 5 * np.sin(2 * np.pi * x / 12))[None, :].repeat(128, 0).round().astype(np.uint8)
    found = bands(stripes)
    assert int(found[:-1, 0].argmax()) == 2, "12 px stripes lie between sigma 2 and 4"
    with pytest.raises(ValueError, match="no pictures"):
        summary([])


def test_likeness_tells_palms_that_share_lines_from_palms_that_share_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    noise = [cv2.GaussianBlur(rng.normal(0, 40, (128, 128)), (0, 0), 3) for _ in range(9)]
    nothing, lines = ([(128 + own + share * 2 * noise[8]).clip(0, 255).astype(np.uint8) for own in noise[:8]] for share in (0, 1))
    assert abs(likeness(nothing)[0]) < 0.1
    assert likeness(lines)[0] > 0.5
    with pytest.raises(ValueError, match="3 palms"):
        likeness(nothing[:2])
    for k, picture in enumerate(nothing):
        (tmp_path / f"{k % 4}").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f"{k % 4}" / f"{k}.png"), picture)
    (tmp_path / "0" / "0.png").write_bytes(b"no picture")
    assert len(strangers_of(tmp_path)) == 3, "one a palm; what is no picture is left out"


def test_near_infrared_views_are_as_faint_as_real_ones(people: Maps) -> None:
    palms = [Palm(i % 3, i % 3, Regime.MIXED) for i in range(30)]
    studio = Studio(people, palms, 3)
    median = summary(studio.view(0, i) for i in range(30))[1]
    assert 0.003 < median[1, 0] < 0.012, "1-2 px: real palms have 0.5 to 0.6 %"
    assert 0.004 < median[2, 0] < 0.02, "2-4 px: real palms have 0.5 to 1.1 %"
    assert median[1, 1] < 0, "lines are dark: the skewness is negative"
