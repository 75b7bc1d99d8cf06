"""Train the encoder on people who never existed: `python -m models.palm_train`.

Two stages: first the aligner, on views that are misplaced by much; then, with it in place, the rest. Resumes by itself from the last
checkpoint in the run's folder; batch k is the same whenever it is drawn. Curves go to aligner.csv and encoder.csv.
One process trains, one takes the pictures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor, nn
from torch.nn import functional as F

from models.palm_aligner import ALIGN_UNITS, Aligner, alignment_loss, landmark_loss
from models.palm_network import CosineMargin, LocalContrast, PalmNetwork
from models.palm_people import Maps, grown
from models.palm_stage import Batch, Batches, Recipe, Stage, run

TRAIN_RUN = Path(__file__).parent / "runs" / "palm"
TRAIN_STEPS_MAX = 10_000_000

_ALIGNER_STREAM, _ENCODER_STREAM = 1_000, 0
_DEFAULT = Recipe()


class AlignerStage(Stage):
    """The aligner learns where palms lie, from pairs of views."""

    name = "aligner"

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        torch.manual_seed(recipe.seed)
        super().__init__(recipe, recipe.align_steps, recipe.align_rate, Aligner(), None, device)

    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """The loss, and what is left of a pair's difference, median in units, beside what there was."""
        level, _, error = batch
        assert isinstance(self.network, Aligner)
        with torch.autocast(self.device.type, torch.bfloat16):
            found = self.network.landmarks(level)
        guessed = self.network.similarity(found)
        apart = (error[0::2] - error[1::2]) / error.new_tensor(ALIGN_UNITS)
        left = (apart - (guessed[0::2] - guessed[1::2]).detach() / error.new_tensor(ALIGN_UNITS)).abs().median()
        loss = alignment_loss(guessed, error) + landmark_loss(found, self.network.home, error)
        return loss, {"left": float(left), "of": float(apart.abs().median())}


class EncoderStage(Stage):
    """The learned part behind the stem, with an aligner that stays as it is."""

    name = "encoder"

    def __init__(self, recipe: Recipe, aligner: dict[str, Tensor], device: torch.device) -> None:
        torch.manual_seed(recipe.seed + 1)
        network = PalmNetwork()
        network.aligner.load_state_dict(aligner)
        network.aligner.requires_grad_(False)
        super().__init__(recipe, recipe.steps, recipe.learning_rate, network, CosineMargin(recipe.classes), device)

    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """The loss, and the share of views that were given to the right palm."""
        level, labels, _ = batch
        assert isinstance(self.network, PalmNetwork)
        assert isinstance(self.loss, CosineMargin)
        with torch.autocast(self.device.type, torch.bfloat16):
            with torch.no_grad():
                lines, broad = (part.to(memory_format=torch.channels_last) for part in self.network.stem(level))
            raw = self.network.embed(lines, broad)
        margin = self.recipe.margin_at(self.step / self.steps)
        loss, right = self.loss(F.normalize(raw.float(), dim=1), labels, margin)
        return loss, {"right": float(right), "margin": margin}


class Front(nn.Module):  # type: ignore[misc]
    """What happens before the stem: normalisation, and putting right."""

    def __init__(self, aligner: dict[str, Tensor]) -> None:
        super().__init__()
        self.network = PalmNetwork()
        self.network.aligner.load_state_dict(aligner)

    def forward(self, palm: Tensor) -> Tensor:
        """Float32 [N, 1, 128, 128] in 0..1 to normalised contrast of the same shape."""
        return self.network.put_right(palm, bold=True)


def aligner_batches(crowd: Maps | Path, recipe: Recipe) -> Batches:
    """Views for the aligner: most of them upright, as a hand finder gives them; of the rest enough to learn that there it knows nothing."""
    return Batches(crowd, recipe, _ALIGNER_STREAM, recipe.align_careless, LocalContrast(), recipe.align_every_turned)


def encoder_batches(crowd: Maps | Path, recipe: Recipe, aligner: dict[str, Tensor]) -> Batches:
    """Views for the encoder, put right by an aligner with these weights."""
    return Batches(crowd, recipe, _ENCODER_STREAM, recipe.careless, Front(aligner))


def train(
    recipe: Recipe, folder: Path, crowd: Maps | Path, until: int | None = None, every_s: float = 120.0, workers: int = 1
) -> EncoderStage:
    """Both stages, each to its end or to `until`; each goes on where `folder` holds a checkpoint of it."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    first = AlignerStage(recipe, device)
    run(first, lambda: aligner_batches(crowd, recipe), folder, until, every_s, workers)
    aligner = {name: value.cpu() for name, value in first.average.items()}
    second = EncoderStage(recipe, aligner, device)
    if first.step < first.steps:
        return second
    run(second, lambda: encoder_batches(crowd, recipe, aligner), folder, until, every_s, workers)
    return second


def main(
    run_: Annotated[Path, typer.Option("--run", help="folder for the checkpoints and the curves")] = TRAIN_RUN,
    people: Annotated[int, typer.Option(min=4)] = _DEFAULT.people,
    classes_: Annotated[
        int, typer.Option("--classes", min=4, help="at most 3.7 times the people: each is also mirrored, and turned")
    ] = _DEFAULT.classes,
    align_steps: Annotated[int, typer.Option(min=1, max=TRAIN_STEPS_MAX, help="of the aligner")] = _DEFAULT.align_steps,
    steps: Annotated[int, typer.Option(min=1, max=TRAIN_STEPS_MAX, help="of the encoder")] = _DEFAULT.steps,
    until: Annotated[int | None, typer.Option(min=1, help="stop at this step of a stage; a later call goes on")] = None,
    batch: Annotated[int, typer.Option(min=4, help="pictures a step, even")] = _DEFAULT.batch,
    seed: Annotated[int, typer.Option(min=0)] = _DEFAULT.seed,
    learning_rate: Annotated[float, typer.Option(min=1e-6, max=1.0, help="of the encoder")] = _DEFAULT.learning_rate,
    threads: Annotated[int, typer.Option(min=1, help="of the network; the pictures have a process of their own")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="processes that take pictures; a GPU needs many")] = 1,
) -> None:
    """Grow the crowd where it isn't there, then train or go on training."""
    torch.set_num_threads(threads)
    recipe = Recipe(
        people=people, classes=classes_, align_steps=align_steps, steps=steps, batch=batch, seed=seed, learning_rate=learning_rate
    )
    crowd = run_.parent / f"crowd-0-{people}.npy"
    grown(crowd, 0, people, processes=workers + 1)
    train(recipe, run_, crowd, until, workers=workers)


if __name__ == "__main__":
    typer.run(main)
