"""Train the encoder on people who never existed: `python -m models.palm_train`.

Resumes by itself from the last checkpoint in the run's folder; batch k is the same whenever it is drawn. Curves go to curves.csv.
One process trains, one takes the pictures.
"""

from __future__ import annotations

import csv
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from models.palm_generator import Studio, classes
from models.palm_network import CosineMargin, PalmNetwork, alignment_loss
from models.palm_people import Maps, grown

TRAIN_RUN = Path(__file__).parent / "runs" / "palm"
TRAIN_PREFETCH_BATCHES = 6
TRAIN_CURVE_STEPS = 20
TRAIN_STEPS_MAX = 10_000_000


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides the weights. Shares of steps are 0..1."""

    people: int = 5_000
    classes: int = 9_000
    batch: int = 128
    steps: int = 8_000
    seed: int = 1
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    margin: float = 0.3
    warm_up: float = 0.04  # learning rate rises over this share of the steps
    margin_from: float = 0.02  # the margin grows between these shares
    margin_to: float = 0.3
    average: float = 0.999  # of the weights, exponentially; what is exported

    def rate(self, step: int) -> float:
        """Learning rate of a step: linear warm-up, then half a cosine."""
        at = step / self.steps
        if at < self.warm_up:
            return self.learning_rate * (step + 1) / (self.warm_up * self.steps + 1)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (at - self.warm_up) / (1 - self.warm_up))))

    def margin_at(self, step: int) -> float:
        """Cosine margin of a step."""
        at = (step / self.steps - self.margin_from) / (self.margin_to - self.margin_from)
        return self.margin * min(1.0, max(0.0, at))


_DEFAULT = Recipe()


class Batches(Dataset[tuple[Tensor, Tensor, Tensor]]):  # type: ignore[misc]
    """Batch k as (uint8 [B, 128, 128], int64 [B], float32 [B, 4]); the same k gives the same batch."""

    def __init__(self, crowd: Maps | Path, recipe: Recipe) -> None:
        self._crowd = crowd
        self._recipe = recipe
        self._studio: Studio | None = None

    def __len__(self) -> int:
        return self._recipe.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        if self._studio is None:  # opened in the process that uses it: maps are shared by the page cache
            cv2.setNumThreads(1)
            crowd = np.load(self._crowd, mmap_mode="r") if isinstance(self._crowd, Path) else self._crowd
            self._studio = Studio(crowd, classes(self._recipe.seed, self._recipe.people, self._recipe.classes), self._recipe.seed)
        pictures, labels, errors = self._studio.batch(step, self._recipe.batch)
        return torch.from_numpy(pictures), torch.from_numpy(labels), torch.from_numpy(errors)


class Trainer:
    """A network, its loss, its optimiser and its running average; whole in one checkpoint."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.device, self.step = recipe, device, 0
        self.history = [(0, recipe.steps)]  # from which step on the schedule was one of how many steps
        self.network = PalmNetwork().to(device, memory_format=torch.channels_last)
        self.loss = CosineMargin(recipe.classes).to(device)
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        plain = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": recipe.weight_decay, "factor": 1.0},
            {"params": plain, "weight_decay": 0.0, "factor": 1.0},
            {"params": [self.loss.prototypes], "weight_decay": 0.0, "factor": 2.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.99), fused=True)
        self.average = {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    def advance(self, pictures: Tensor, labels: Tensor, errors: Tensor) -> tuple[float, float, float]:
        """One step on uint8 [B, 128, 128], int64 [B], float32 [B, 4]; loss, share of right answers, and the aligner's loss."""
        rate = self.recipe.rate(self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        self.network.train()
        palms = pictures.to(self.device).unsqueeze(1).float() / 255.0
        with torch.autocast(self.device.type, torch.bfloat16):
            with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
                level = self.network.contrast(palms)
            guessed = self.network.aligner(level)
            with torch.no_grad():  # the aligner learns from the errors alone: identity would teach it to hide what it cannot tell
                with torch.autocast(self.device.type, enabled=False):
                    level = self.network.aligner.undo(level, guessed.detach())
                lines, broad = self.network.stem(level)
            raw = self.network.embed(lines.to(memory_format=torch.channels_last), broad.to(memory_format=torch.channels_last))
        signatures = F.normalize(raw.float(), dim=1)
        loss, right = self.loss(signatures, labels.to(self.device), self.recipe.margin_at(self.step))
        misplaced = alignment_loss(guessed, errors.to(self.device))
        self.optimiser.zero_grad(set_to_none=True)
        (loss + misplaced).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        keep = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                if value.dtype.is_floating_point:
                    self.average[name].lerp_(value, 1 - keep)
                else:
                    self.average[name].copy_(value)
        return float(loss.detach()), float(right), float(misplaced.detach())

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        part = path.with_suffix(".part")
        torch.save(
            {
                "recipe": asdict(self.recipe),
                "step": self.step,
                "history": self.history,
                "network": self.network.state_dict(),
                "average": self.average,
                "loss": self.loss.state_dict(),
                "optimiser": self.optimiser.state_dict(),
            },
            part,
        )
        os.replace(part, path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint. Only the number of steps may have changed: the schedule then is the new one from here on.

        Raises ValueError when the checkpoint was made with another recipe, or is beyond the recipe's end.
        """
        kept = torch.load(path, map_location=self.device, weights_only=True)
        if {**kept["recipe"], "steps": 0} != {**asdict(self.recipe), "steps": 0} or kept["step"] > self.recipe.steps:
            raise ValueError(f"{path} was made with another recipe: choose another --run folder or delete it")
        self.history = [tuple(entry) for entry in kept["history"]] if "history" in kept else [(0, kept["recipe"]["steps"])]
        if self.history[-1][1] != self.recipe.steps:
            self.history.append((int(kept["step"]), self.recipe.steps))
        self.step = int(kept["step"])
        self.network.load_state_dict(kept["network"])
        self.loss.load_state_dict(kept["loss"])
        self.optimiser.load_state_dict(kept["optimiser"])
        self.average = kept["average"]


def train(
    recipe: Recipe, run: Path, crowd: Maps | Path, until: int | None = None, every_s: float = 120.0, workers: int = 1
) -> Trainer:
    """Train to `until` (or the recipe's end), a checkpoint each `every_s` seconds and at the end; resumes when `run` holds one."""
    run.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(recipe, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    checkpoint = run / "checkpoint.pt"
    if checkpoint.exists():
        trainer.load(checkpoint)
    last = min(until or recipe.steps, recipe.steps)
    steps = range(trainer.step, last)
    kwargs = {"num_workers": workers, "prefetch_factor": TRAIN_PREFETCH_BATCHES} if workers else {}
    loader = DataLoader(Batches(crowd, recipe), batch_size=None, sampler=steps, **kwargs)
    saved_s = time.monotonic()
    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns) as progress, (run / "curves.csv").open("a", newline="") as file:
        curves = csv.writer(file)
        if trainer.step == 0:
            curves.writerow(["step", "loss", "right", "alignment", "rate", "margin", "seconds"])
        task = progress.add_task("", total=last, completed=trainer.step)
        for pictures, labels, errors in loader:
            loss, right, misplaced = trainer.advance(pictures, labels, errors)
            if not math.isfinite(loss):
                raise FloatingPointError(f"the loss is {loss} at step {trainer.step}: lower --learning-rate")
            progress.update(task, completed=trainer.step, description=f"loss {loss:.2f} right {right:.2f}")
            if trainer.step % TRAIN_CURVE_STEPS == 0:
                rate, margin = recipe.rate(trainer.step), recipe.margin_at(trainer.step)
                figures = (f"{loss:.4f}", f"{right:.4f}", f"{misplaced:.4f}", f"{rate:.6f}", f"{margin:.3f}")
                curves.writerow([trainer.step, *figures, round(time.monotonic(), 1)])
                file.flush()
            if time.monotonic() - saved_s > every_s:
                trainer.save(checkpoint)
                saved_s = time.monotonic()
    trainer.save(checkpoint)
    return trainer


def main(
    run: Annotated[Path, typer.Option(help="folder for the checkpoint and the curves")] = TRAIN_RUN,
    people: Annotated[int, typer.Option(min=4)] = _DEFAULT.people,
    classes_: Annotated[
        int, typer.Option("--classes", min=4, help="at most 2.5 times the people: each is also mirrored")
    ] = _DEFAULT.classes,
    steps: Annotated[int, typer.Option(min=1, max=TRAIN_STEPS_MAX)] = _DEFAULT.steps,
    until: Annotated[int | None, typer.Option(min=1, help="stop at this step of the schedule; a later call goes on")] = None,
    batch: Annotated[int, typer.Option(min=4, help="pictures a step, even")] = _DEFAULT.batch,
    seed: Annotated[int, typer.Option(min=0)] = _DEFAULT.seed,
    learning_rate: Annotated[float, typer.Option(min=1e-6, max=1.0)] = _DEFAULT.learning_rate,
    threads: Annotated[int, typer.Option(min=1, help="of the network; the pictures have a process of their own")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="processes that take pictures; a GPU needs many")] = 1,
) -> None:
    """Grow the crowd where it isn't there, then train or go on training."""
    torch.set_num_threads(threads)
    recipe = Recipe(people=people, classes=classes_, steps=steps, batch=batch, seed=seed, learning_rate=learning_rate)
    crowd = run.parent / f"crowd-0-{people}.npy"
    grown(crowd, 0, people, processes=workers + 1)
    train(recipe, run, crowd, until, workers=workers)


if __name__ == "__main__":
    typer.run(main)
