"""The hand finder's networks, their one file, and a training of a few steps; skipped where the extra "training" is not installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
else:
    torch = pytest.importorskip("torch", reason='training needs the extra "training": pip install -e .[training]')

from models import hand_train
from models.hand_network import Coarse, Fine, Valley, export
from models.hand_pool import RECORD, Pool, hand
from models.hand_samples import (
    LEFT,
    RIGHT,
    Shown,
    coarse_sample,
    coarse_targets,
    fine_sample,
    valley_sample,
)
from terminal.palm.finder_network import CELL_PX, COARSE_CHANNELS, OFFSET_UNIT_PX, POINTS, HandNetwork
from terminal.palm.geometry import FINE_SIDE_PX, PATCH_SIDE_PX


@pytest.fixture(scope="module")
def few() -> Pool:
    made = [pair for seed in (2, 6, 9) for pair in hand(seed)]
    truths = np.zeros(len(made), RECORD)
    for k, (_, record) in enumerate(made):
        truths[k] = record
    truths["subject"][:4] = 0  # at least one palm, whatever these seeds drew
    return Pool(np.stack([pixels for pixels, _ in made]), truths)


def test_the_file_says_what_the_networks_say(tmp_path: Path) -> None:
    torch.manual_seed(3)
    coarse, fine, valley = Coarse().eval(), Fine().eval(), Valley().eval()
    path = tmp_path / "hand.onnx"
    export(coarse, fine, valley, path, {"version": "hand-test", "licence": "Apache-2.0"})
    network = HandNetwork(path, threads=1)
    assert network.version == "hand-test"
    rng = np.random.default_rng(0)

    def tensor(pictures: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(pictures[:, None].astype(np.float32) / 255)

    with torch.no_grad():
        for size in ((112, 160), (160, 128)):
            small = rng.integers(0, 255, size).astype(np.uint8)
            said = network.whole(small)
            assert said.shape == (COARSE_CHANNELS, size[0] // CELL_PX, size[1] // CELL_PX)
            np.testing.assert_allclose(said, coarse(tensor(small[None]))[0].numpy(), atol=1e-3)
        piece = rng.integers(0, 255, (FINE_SIDE_PX, FINE_SIDE_PX)).astype(np.uint8)
        points, words = network.piece(piece)
        assert points.shape == (POINTS, 2)
        expected = fine(tensor(piece[None]))
        np.testing.assert_allclose(points, expected[0][0].numpy(), atol=1e-2)
        np.testing.assert_allclose(words, expected[1][0].numpy(), atol=1e-3)
        patches = rng.integers(0, 255, (3, PATCH_SIDE_PX, PATCH_SIDE_PX)).astype(np.uint8)
        points, words = network.patches(patches)
        expected = valley(tensor(patches))
        np.testing.assert_allclose(points, expected[0][:, 0].numpy(), atol=1e-2)
        np.testing.assert_allclose(words, expected[1][:, 0].numpy(), atol=1e-3)


def test_each_network_decodes_its_own_peak_exactly() -> None:
    for network, cells, step in ((Fine(), FINE_SIDE_PX // 4, 4), (Valley(), PATCH_SIDE_PX // 2, 2)):
        heat = torch.full((1, 1, cells, cells), -30.0)
        heat[0, 0, 5, 8] = heat[0, 0, 5, 9] = 30.0
        x, y = network.expected(heat)[0, 0].tolist()
        assert (x, y) == pytest.approx((8.5 * step + (step - 1) / 2, 5 * step + (step - 1) / 2), abs=1e-3)


def test_coarse_targets_lead_back_to_the_points() -> None:
    points = np.array([[100, 40], [80, 36], [62, 41], [85, 100]], np.float32)
    heat, offsets, weight = coarse_targets([Shown(points, RIGHT)], 112, 160)
    row, column = np.unravel_index(int(heat[RIGHT].argmax()), heat[RIGHT].shape)
    assert heat[LEFT].max() == 0
    assert weight[row, column] > 0.9
    cell = (np.array([column, row]) + 0.5) * CELL_PX - 0.5
    np.testing.assert_allclose(cell + offsets[:, row, column].reshape(4, 2) * OFFSET_UNIT_PX, points, atol=1e-3)


def test_samples_come_from_their_seed_alone(few: Pool) -> None:
    draws: tuple[Callable[[np.random.Generator], NDArray[np.float32]], ...] = (
        lambda rng: coarse_sample(few, rng, 112, 160)[0],
        lambda rng: fine_sample(few, rng).image,
        lambda rng: valley_sample(few, rng).patches,
    )
    for draw in draws:
        first, again, other = (draw(np.random.default_rng(seed)) for seed in (4, 4, 5))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)
        assert first.min() >= 0
        assert first.max() <= 1


def test_an_upright_piece_has_its_valleys_in_order(few: Pool) -> None:
    judged = [s for seed in range(60) if (s := fine_sample(few, np.random.default_rng(seed))).valid == 1]
    assert judged
    for sample in judged:
        assert sample.points[0, 0] > sample.points[1, 0] > sample.points[2, 0], "index/middle is on the right"
        assert sample.points[3, 1] > sample.points[:3, 1].max(), "the wrist is below"


def test_a_killed_training_goes_on_where_it_was(few: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hand_train, "BATCH", 4)
    monkeypatch.setattr(hand_train, "CHECKPOINT_S", 0.0)
    torch.set_num_threads(1)
    for run in "ab":
        (tmp_path / run).mkdir()
    whole = hand_train.train(hand_train.valley_task(few), tmp_path / "a", 6, 1, "cpu")
    task = hand_train.valley_task(few)
    counted = 0

    def dying(network: torch.nn.Module, data: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
        nonlocal counted
        counted += 1
        if counted > 3:
            raise KeyboardInterrupt
        return task.loss(network, data)

    with pytest.raises(KeyboardInterrupt):
        hand_train.train(hand_train.Task(task.name, task.network, task.batch, dying), tmp_path / "b", 6, 1, "cpu")
    resumed = hand_train.train(hand_train.valley_task(few), tmp_path / "b", 6, 1, "cpu")
    for name, weights in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], weights, msg=name)


def test_a_wrong_sample_ends_the_training_with_its_own_error(few: Pool, tmp_path: Path) -> None:
    def broken(_: np.random.Generator) -> dict[str, torch.Tensor]:
        raise ValueError("no such hand")

    task = hand_train.valley_task(few)
    with pytest.raises(ValueError, match="no such hand"):
        hand_train.train(hand_train.Task(task.name, task.network, broken, task.loss), tmp_path, 3, 1, "cpu")
