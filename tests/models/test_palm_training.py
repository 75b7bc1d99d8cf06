"""Training takes steps, stops, goes on where it was, and ends where it would have ended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from models.palm_people import Maps, crowd
from terminal.palm.encoder import Encoder

torch = pytest.importorskip("torch", reason='training needs the extra "training": pip install -e .[training]')

from models.palm_aligner import (  # noqa: E402 after the question whether torch is there
    ALIGN_EVIDENCE,
    ALIGN_LANDMARKS,
    ALIGN_UNITS,
    Aligner,
    Landmarks,
    alignment_loss,
    landmark_loss,
)
from models.palm_export import network_of, write  # noqa: E402
from models.palm_network import CosineMargin, LocalContrast, PalmNetwork  # noqa: E402
from models.palm_stage import Recipe, Stage  # noqa: E402
from models.palm_train import AlignerStage, EncoderStage, aligner_batches, encoder_batches, train  # noqa: E402

RECIPE = Recipe(people=8, classes=8, batch=8, align_steps=2, steps=3)
CPU = torch.device("cpu")
AXIS = (np.arange(128) + 0.5) / 128 - 0.5


@pytest.fixture(scope="module")
def people() -> Maps:
    torch.set_num_threads(1)
    return crowd(7_000_000, RECIPE.people)


def weights(stage: Stage) -> NDArray[np.float32]:
    found: NDArray[np.float32] = torch.cat([value.flatten().float() for value in stage.average.values()]).numpy()
    return found


def fresh(recipe: Recipe) -> EncoderStage:
    return EncoderStage(recipe, Aligner().state_dict(), CPU)


def test_stopped_and_resumed_training_ends_at_the_same_weights(tmp_path: Path, people: Maps) -> None:
    through = train(RECIPE, tmp_path / "through", people, workers=0)
    for until in (1, 2):  # in the first stage, and in the second
        train(RECIPE, tmp_path / "stopped", people, until=until, workers=0)
    resumed = train(RECIPE, tmp_path / "stopped", people, workers=0)
    assert resumed.step == through.step == RECIPE.steps
    assert np.allclose(weights(resumed), weights(through), atol=1e-4)
    for curves in ("aligner.csv", "encoder.csv"):
        assert (tmp_path / "stopped" / curves).read_text().startswith("step,loss")


def test_the_encoder_learns_behind_an_aligner_that_stays_as_it_is(tmp_path: Path, people: Maps) -> None:
    trained = train(RECIPE, tmp_path, people, workers=0)
    aligner = torch.load(tmp_path / "aligner.pt", weights_only=True)["average"]
    for name, value in aligner.items():
        assert torch.equal(trained.average[f"aligner.{name}"], value), name


def test_the_aligner_meets_mostly_upright_palms(people: Maps) -> None:
    recipe = replace(RECIPE, classes=24)
    upright = {}
    for name, batches in (
        ("aligner", aligner_batches(people, recipe)),
        ("encoder", encoder_batches(people, recipe, Aligner().state_dict())),
    ):
        shown, labels, errors = batches[0]
        assert shown.shape == (recipe.batch, 1, 128, 128)
        assert labels.shape == errors.shape[:1] == (recipe.batch,)
        upright[name] = np.mean([palm.turns == 0 for palm in batches.palms])
    assert upright["encoder"] < upright["aligner"] < 1.0


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path, people: Maps) -> None:
    AlignerStage(RECIPE, CPU).save(tmp_path / "aligner.pt")
    with pytest.raises(ValueError, match="another recipe"):
        train(replace(RECIPE, align_careless=0.1), tmp_path, people, workers=0)


def test_a_run_may_be_made_shorter_on_its_way(tmp_path: Path, people: Maps) -> None:
    recipe = replace(RECIPE, align_steps=1)
    train(recipe, tmp_path, people, until=1, workers=0)
    shorter = train(replace(recipe, steps=2), tmp_path, people, workers=0)
    assert shorter.step == 2
    assert shorter.history == [(0, 3), (1, 2)]


def test_learning_lowers_the_loss() -> None:
    stage = fresh(replace(RECIPE, steps=200, learning_rate=1e-3))
    level = torch.randn(8, 1, 128, 128, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    labels = torch.arange(4).repeat_interleave(2)
    losses = [stage.advance((level, labels, torch.zeros(8, 4)))["loss"] for _ in range(12)]
    assert losses[-1] < losses[0] - 0.5


def test_the_margin_asks_for_more() -> None:
    torch.manual_seed(0)
    loss = CosineMargin(5)
    signatures = torch.nn.functional.normalize(torch.randn(8, 256), dim=1)
    labels = torch.arange(4).repeat_interleave(2)
    with torch.no_grad():
        assert float(loss(signatures, labels, 0.3)[0]) > float(loss(signatures, labels, 0.0)[0])


def test_local_contrast_forgets_gain_offset_and_slopes() -> None:
    torch.manual_seed(0)
    flat = 0.5 + 0.05 * torch.randn(1, 1, 128, 128)
    slope = torch.linspace(0.7, 1.3, 128).view(1, 1, 1, -1)
    contrast = LocalContrast()
    assert torch.allclose(contrast(flat), contrast(flat * 0.2 + 0.1), atol=1e-3)
    inner = (slice(None), slice(None), slice(16, -16), slice(16, -16))
    similarity = torch.cosine_similarity(contrast(flat)[inner].flatten(), contrast(flat * slope)[inner].flatten(), dim=0)
    assert float(similarity) > 0.99


def test_an_error_that_is_known_is_undone(people: Maps) -> None:
    """A misplaced view, put right by its own error, shows what the well-placed one shows."""
    rng = np.random.default_rng(3)
    error = (0.06, -0.04, 0.09, 0.05)
    u, v = np.meshgrid(AXIS, AXIS)
    c, s = np.cos(error[2]), np.sin(error[2])
    x, y = (np.exp(error[3]) * part for part in (c * u - s * v + error[0], s * u + c * v + error[1]))
    smooth = cv2.GaussianBlur(rng.normal(0, 1, (256, 256)).astype(np.float32), (0, 0), 5)
    straight, crooked = (
        cv2.remap(smooth, ((a + 1) * 128 - 0.5).astype(np.float32), ((b + 1) * 128 - 0.5).astype(np.float32), cv2.INTER_LINEAR)
        for a, b in ((u, v), (x, y))
    )
    undone = Aligner().undo(torch.from_numpy(crooked)[None, None], torch.tensor([error]))[0, 0].numpy()
    inner = (slice(20, -20), slice(20, -20))
    assert np.abs(undone[inner] - straight[inner]).max() < 0.02
    assert np.abs(crooked[inner] - straight[inner]).max() > 0.1


def test_the_aligner_is_judged_by_differences() -> None:
    error = torch.tensor([[0.05, 0.0, 0.1, 0.0], [-0.02, 0.0, 0.0, 0.0]])
    offset = torch.tensor([0.03, 0.0, 0.0, 0.0])  # the same for both views of a palm: costs the anchor alone
    right, shifted, wrong = (float(alignment_loss(guess, error)) for guess in (error, error + offset, torch.zeros(2, 4)))
    assert right == 0.0
    assert shifted < wrong / 4


def test_landmarks_that_moved_with_the_palm_say_how() -> None:
    """Landmarks at home on a palm, seen through a known error: the fit finds that error, whichever of them is sure."""
    aligner = Aligner()
    error = torch.tensor([[0.05, -0.03, 0.08, -0.04]])
    across, along, turn, scale = error[0]
    c, s = torch.cos(turn) * torch.exp(-scale), torch.sin(turn) * torch.exp(-scale)
    home = aligner.home.detach()
    x, y = home[:, 0], home[:, 1]
    # The inverse of `Pose.error`: where in the picture lies what is at home there.
    back_x = torch.cos(turn) * across + torch.sin(turn) * along
    back_y = torch.cos(turn) * along - torch.sin(turn) * across
    seen_x, seen_y = c * x + s * y - back_x, c * y - s * x - back_y
    doubt = torch.linspace(-3.0, -1.0, ALIGN_LANDMARKS)[None]
    with torch.no_grad():
        found = aligner.similarity(Landmarks(seen_x[None], seen_y[None], doubt))
    assert torch.allclose(found, error, atol=4e-3)

    both = Landmarks(torch.stack([seen_x, x]), torch.stack([seen_y, y]), doubt.expand(2, -1))
    right, wrong = (float(landmark_loss(both, home, e)) for e in (torch.cat([error, torch.zeros(1, 4)]), torch.zeros(2, 4)))
    assert right < wrong


def test_small_guesses_are_held_back_and_large_ones_are_not() -> None:
    units = torch.tensor(ALIGN_UNITS)
    kept = [float(Aligner().held_back(times * units[None, :])[0, 0] / (times * units[0])) for times in (0.2, 1.25, 5.0)]
    assert kept[0] < 0.05
    assert kept[1] == pytest.approx(0.5, abs=0.01)
    assert kept[2] > 0.9


@pytest.mark.slow
def test_an_export_is_what_the_terminal_loads(tmp_path: Path) -> None:
    fresh(RECIPE).save(tmp_path / "checkpoint.pt")
    network = network_of(tmp_path / "checkpoint.pt")
    assert isinstance(network, PalmNetwork)
    write(network, tmp_path / "palm.onnx", "palm-test", "a test")
    encoder = Encoder(tmp_path / "palm.onnx")
    assert (encoder.version, encoder.dimension) == ("palm-test", 256)


def test_a_guess_of_doubtful_landmarks_is_held_back() -> None:
    guess = 5.0 * torch.tensor(ALIGN_UNITS)[None, :]
    bold = Aligner().held_back(guess)
    doubtful, even, sure = (Aligner().held_back(guess, torch.full((1, 1), share * ALIGN_EVIDENCE)) for share in (0.2, 1.0, 80.0))
    assert torch.allclose(doubtful, bold * 0.2 / (1 + 0.2))
    assert torch.allclose(even, bold / 2)
    assert torch.allclose(sure, bold, rtol=0.02)


def test_what_is_exported_is_less_bold_than_what_is_trained_with() -> None:
    torch.manual_seed(0)
    network = PalmNetwork().eval()
    torch.nn.init.constant_(network.aligner.heat.bias, 1.0)  # landmarks that doubt themselves
    torch.nn.init.normal_(network.aligner.heat.weight, std=0.5)
    palm = torch.rand(2, 1, 128, 128)
    with torch.no_grad():
        level = network.contrast(palm)
        careful, bold = (network.aligner.correction(level, bold) for bold in (False, True))
        shown = network.put_right(palm)
    assert torch.allclose(shown, network.aligner.undo(level, careful))
    assert 0 < float(careful.norm()) < 0.95 * float(bold.norm())
