"""Error rates against ones counted by hand, and what evaluation does with folders."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from models.evaluate import Pairs, folder_pairs, load_set, report
from models.palm_generator import Palm, Regime, Studio
from models.palm_people import crowd
from models.palm_quality import logistic
from models.scores import det, equal_error, error_versus_reject, rates, threshold
from terminal.palm.encoder import Encoder


def scores(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def test_equal_error_counted_by_hand() -> None:
    assert equal_error(scores(0.8, 0.9, 1.0), scores(0.0, 0.1, 0.2)) == 0.0
    assert equal_error(scores(0.0, 0.1, 0.2), scores(0.8, 0.9, 1.0)) == 1.0
    assert equal_error(scores(0.9, 0.8, 0.7, 0.2), scores(0.75, 0.1, 0.1, 0.1)) == pytest.approx(0.25)
    with pytest.raises(ValueError, match="genuine and impostor"):
        equal_error(scores(), scores(0.1))


def test_threshold_lets_no_more_through_than_asked() -> None:
    rng = np.random.default_rng(0)
    impostor = rng.normal(0, 0.1, 10_000).astype(np.float32)
    for far in (1e-2, 1e-3):
        at = threshold(impostor, far)
        assert at is not None
        assert (impostor > at).mean() <= far
        assert (impostor > at - 0.01).mean() > far
    assert threshold(impostor, 1e-4) is None, "one impostor in the tail says nothing"


def test_rates_of_two_normal_classes_match_theory() -> None:
    rng = np.random.default_rng(1)
    owner = np.arange(20_000) % 100
    genuine, impostor = (rng.normal(mean, 0.1, 20_000).astype(np.float32) for mean in (0.4, 0.0))
    found = rates(genuine, impostor, owner, owner)
    assert found.eer == pytest.approx(0.02275, abs=0.003), "two standard deviations from either mean"
    assert found.tar[1e-2] == pytest.approx(0.953, abs=0.01)
    assert found.eer_low <= found.eer <= found.eer_high
    assert found.effective_dimension == pytest.approx(100, rel=0.05)
    assert 1e-6 not in found.tar
    shares, missed = det(genuine, impostor)
    assert (np.diff(shares) > 0).all()
    assert (np.diff(missed) <= 1e-9).all()


def test_intervals_are_wider_when_fewer_people_stand_behind_the_same_pairs() -> None:
    rng = np.random.default_rng(2)

    def width(people: int) -> float:
        owner = np.repeat(np.arange(people), 4_000 // people)
        offset = rng.normal(0, 0.1, people)[owner]
        genuine, impostor = ((mean + offset + rng.normal(0, 0.05, 4_000)).astype(np.float32) for mean in (0.4, 0.0))
        found = rates(genuine, impostor, owner, owner)
        return found.eer_high - found.eer_low

    assert width(10) > width(400)


def test_rejecting_by_a_good_quality_lowers_errors() -> None:
    rng = np.random.default_rng(3)
    genuine = rng.normal(0.6, 0.2, 1_000).astype(np.float32)
    curve = error_versus_reject(genuine, genuine, 0.3, np.array([0.0, 0.1, 0.5]))
    assert curve[0] > curve[1] >= curve[2] == 0.0


def test_logistic_finds_the_sign_that_matters() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(0, 1, (2_000, 3))
    y = (x[:, 1] + rng.normal(0, 0.5, 2_000) > 0).astype(float)
    weights, bias = logistic(x, y)
    assert weights[1] > 1.0 > abs(weights[0]) + abs(weights[2]) + abs(bias)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One set of three simulated palms in two sessions."""
    root: Path = tmp_path_factory.mktemp("rois")
    studio = Studio(crowd(8_000_000, 3), [Palm(i, i, Regime.MIXED) for i in range(3)], 1)
    for palm in range(3):
        (root / "a_set" / f"{palm:03}").mkdir(parents=True)
        for view in range(4):
            name = f"s{1 + view // 2}_{view}.png"
            assert cv2.imwrite(str(root / "a_set" / f"{palm:03}" / name), studio.view(view, palm))
    return root


def test_a_folder_is_compared_across_its_sessions(folder: Path, tmp_path: Path) -> None:
    pictures, owners, sessions = load_set(folder / "a_set")
    assert pictures.shape == (12, 128, 128)
    assert sessions.tolist() == [0, 0, 1, 1] * 3
    assert owners.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    pairs = folder_pairs(Encoder(), folder / "a_set")
    assert isinstance(pairs, Pairs)
    assert (len(pairs.genuine), len(pairs.impostor)) == (3 * 4, 6 * 4)
    report([pairs], None)
    figures = report([pairs], tmp_path / "out")
    assert json.loads((tmp_path / "out" / "figures.json").read_text())[0]["name"] == "a_set" == figures[0]["name"]


def test_a_set_of_one_palm_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one" / "001").mkdir(parents=True)
    with pytest.raises(ValueError, match="at least two palms"):
        load_set(tmp_path / "one")
