"""Go on training the aligner alone: `python -m models.palm_align`, after or beside `models.palm_train`.

The aligner is a twentieth of the network and learns slowly while the rest is learning. Alone it costs no more than the pictures do. It
starts from the checkpoint's aligner and keeps the checkpoint's convention of where the square lies; `models.palm_export` puts it in.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.data import DataLoader

from models.palm_network import Aligner, LocalContrast, alignment_loss
from models.palm_train import TRAIN_PREFETCH_BATCHES, TRAIN_RUN, TRAIN_STEPS_MAX, Batches, Recipe, crowd_of, recipe_of

ALIGN_FILE = "aligner.pt"
ALIGN_FIRST_BATCH = 1_000_000
"""Batches of its own, which the encoder has not seen."""


@dataclass(frozen=True, slots=True)
class AlignRecipe:
    """All that decides the aligner's weights beside where it starts."""

    steps: int = 3_000
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    average: float = 0.995

    def rate(self, step: int) -> float:
        """Half a cosine."""
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / self.steps)))


_DEFAULT = AlignRecipe()


class AlignTrainer:
    """The aligner, its optimiser and its running average."""

    def __init__(self, recipe: AlignRecipe, start: dict[str, Tensor], device: torch.device) -> None:
        self.recipe, self.device, self.step = recipe, device, 0
        self.contrast, self.aligner = LocalContrast().to(device), Aligner().to(device)
        self.aligner.load_state_dict(start)
        self.optimiser = torch.optim.AdamW(
            self.aligner.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.99)
        )
        self.average = {name: value.detach().clone() for name, value in self.aligner.state_dict().items()}

    def advance(self, pictures: Tensor, errors: Tensor) -> float:
        """One step on uint8 [B, 128, 128] (views 2k and 2k + 1 of a palm) and float32 [B, 4]; the loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate(self.step)
        self.aligner.train()
        with torch.no_grad():
            level = self.contrast(pictures.to(self.device).unsqueeze(1).float() / 255.0)
        with torch.autocast(self.device.type, torch.bfloat16):
            guessed = self.aligner(level)
        loss = alignment_loss(guessed, errors.to(self.device))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.step += 1
        with torch.no_grad():
            for name, value in self.aligner.state_dict().items():
                if value.dtype.is_floating_point:
                    self.average[name].lerp_(value, 1 - self.recipe.average)
                else:
                    self.average[name].copy_(value)
        return float(loss.detach())


def aligner_of(checkpoint: Path) -> dict[str, Tensor]:
    """The averaged weights of a checkpoint's aligner."""
    average = torch.load(checkpoint, map_location="cpu", weights_only=True)["average"]
    return {name.removeprefix("aligner."): value for name, value in average.items() if name.startswith("aligner.")}


def main(
    run: Annotated[Path, typer.Option(help="folder with checkpoint.pt; aligner.pt is written beside it")] = TRAIN_RUN,
    steps: Annotated[int, typer.Option(min=1, max=TRAIN_STEPS_MAX)] = _DEFAULT.steps,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    workers: Annotated[int, typer.Option(min=0, help="processes that take pictures; 0: this one")] = 0,
) -> None:
    """Train, and write aligner.pt whole or not at all."""
    torch.set_num_threads(threads)
    checkpoint = run / "checkpoint.pt"
    recipe: Recipe = recipe_of(checkpoint)
    trainer = AlignTrainer(
        AlignRecipe(steps=steps), aligner_of(checkpoint), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    )
    kwargs = {"num_workers": workers, "prefetch_factor": TRAIN_PREFETCH_BATCHES} if workers else {}
    batches = range(ALIGN_FIRST_BATCH, ALIGN_FIRST_BATCH + steps)
    loader = DataLoader(Batches(crowd_of(run, recipe), recipe), batch_size=None, sampler=batches, **kwargs)
    columns = (TextColumn("aligning"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    smooth = 1.0
    with Progress(*columns) as progress:
        task = progress.add_task("", total=steps)
        for pictures, _, errors in loader:
            smooth += 0.02 * (trainer.advance(pictures, errors) - smooth)
            progress.update(task, completed=trainer.step, description=f"loss {smooth:.3f}")
    part = run / (ALIGN_FILE + ".part")
    torch.save({"aligner": trainer.average, "steps": steps}, part)
    os.replace(part, run / ALIGN_FILE)
    typer.echo(f"{run / ALIGN_FILE}: loss {smooth:.3f} lately; guessing nothing costs about 1.2")


if __name__ == "__main__":
    typer.run(main)
