"""One stage of training: steps over batches that follow from a seed, a checkpoint that can be gone on from, curves in a CSV file."""

from __future__ import annotations

import csv
import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from models.palm_generator import Studio, classes
from models.palm_people import Maps

STAGE_PREFETCH_BATCHES = 6
STAGE_CURVE_STEPS = 20

Batch = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides the weights. Shares are 0..1; those of steps are of the stage's."""

    people: int = 5_000
    classes: int = 14_000
    batch: int = 128
    seed: int = 1
    weight_decay: float = 0.02
    average: float = 0.999  # of the weights, exponentially; what is exported
    align_steps: int = 4_500
    align_rate: float = 3e-3
    align_careless: float = 0.6  # of the aligner's views are misplaced by much
    align_every_turned: int = 2  # of the classes that do not lie upright the aligner sees one in so many
    steps: int = 7_000
    learning_rate: float = 2e-3
    careless: float = 0.25  # of the encoder's
    warm_up: float = 0.04  # learning rate rises over this share of the steps
    margin: float = 0.3
    margin_from: float = 0.02  # the margin grows between these shares
    margin_to: float = 0.3

    def rate(self, share: float, highest: float) -> float:
        """Learning rate after this share of a stage: linear warm-up, then half a cosine down to a hundredth of `highest`."""
        if share < self.warm_up:
            return highest * (0.01 + 0.99 * share / self.warm_up)
        return highest * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (share - self.warm_up) / (1 - self.warm_up))))

    def margin_at(self, share: float) -> float:
        """Cosine margin after this share of the steps."""
        at = (share - self.margin_from) / (self.margin_to - self.margin_from)
        return self.margin * min(1.0, max(0.0, at))


class Batches(Dataset[Batch]):  # type: ignore[misc]
    """Batch k as (`front` of float32 [B, 1, 128, 128] in 0..1, labels int64 [B], errors float32 [B, 4]); the same k gives the same batch.

    What is not learned in a stage (normalisation, an aligner that is there already) is its `front`, and is done where the pictures are
    taken: on two cores that halves a step.
    """

    def __init__(
        self, crowd: Maps | Path, recipe: Recipe, stream: int, careless: float, front: nn.Module, every_turned: int = 1
    ) -> None:
        self._crowd, self._recipe, self._stream, self._careless = crowd, recipe, stream, careless
        palms = classes(recipe.seed, recipe.people, recipe.classes)
        self.palms = [palm for k, palm in enumerate(palms) if palm.turns == 0 or k % every_turned == 0]
        self._front = front.eval()
        self._studio: Studio | None = None

    def __getitem__(self, step: int) -> Batch:
        recipe = self._recipe
        if self._studio is None:  # opened in the process that uses it: maps are shared by the page cache
            cv2.setNumThreads(1)
            crowd = np.load(self._crowd, mmap_mode="r") if isinstance(self._crowd, Path) else self._crowd
            self._studio = Studio(crowd, self.palms, recipe.seed + self._stream, careless=self._careless)
        pictures, labels, errors = self._studio.batch(step, recipe.batch)
        with torch.no_grad():
            shown = self._front(torch.from_numpy(pictures).unsqueeze(1).float() / 255.0)
        return shown.to(torch.bfloat16), torch.from_numpy(labels), torch.from_numpy(errors)


class Stage(ABC):
    """A network that learns, its optimiser and its running average; whole in one checkpoint."""

    name: str

    def __init__(
        self, recipe: Recipe, steps: int, rate: float, network: nn.Module, loss: nn.Module | None, device: torch.device
    ) -> None:
        self.recipe, self.steps, self.device, self.step = recipe, steps, device, 0
        self.history = [(0, steps)]  # from which step on the schedule was one of how many steps
        self._rate = rate
        self.network = network.to(device, memory_format=torch.channels_last)
        self.loss = (loss or nn.Module()).to(device)
        groups = [
            {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": recipe.weight_decay, "factor": 1.0},
            {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0, "factor": 1.0},
        ]
        if own := list(self.loss.parameters()):
            groups.append({"params": own, "weight_decay": 0.0, "factor": 2.0})
        self._optimiser = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.99), fused=True)
        self.average = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @abstractmethod
    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """What is to be made small, a scalar, and what else is worth a curve."""

    def advance(self, batch: Batch) -> dict[str, float]:
        """One step; the loss and the rest of the curves. Raises FloatingPointError where the loss is no number any more."""
        for group in self._optimiser.param_groups:
            group["lr"] = self.recipe.rate(self.step / self.steps, self._rate) * group["factor"]
        self.network.train()
        shown, labels, errors = (part.to(self.device) for part in batch)
        loss, figures = self.losses((shown, labels, errors))
        if not math.isfinite(float(loss.detach())):
            raise FloatingPointError(f"the loss is {float(loss):g} at step {self.step}: choose a lower learning rate")
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self._optimiser.step()
        self.step += 1
        keep = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                if value.dtype.is_floating_point:
                    self.average[name].lerp_(value, 1 - keep)
                else:
                    self.average[name].copy_(value)
        return {"loss": float(loss.detach()), **figures}

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        part = path.with_suffix(".part")
        kept: dict[str, Any] = {
            "recipe": asdict(self.recipe),
            "step": self.step,
            "history": self.history,
            "network": self.network.state_dict(),
            "average": self.average,
            "loss": self.loss.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }
        torch.save(kept, part)
        os.replace(part, path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint. Only the number of steps may have changed: the schedule then is the new one from here on.

        Raises ValueError when the checkpoint was made with another recipe, or is beyond the recipe's end.
        """
        kept = torch.load(path, map_location=self.device, weights_only=True)
        if {**kept["recipe"], "steps": 0} != {**asdict(self.recipe), "steps": 0} or kept["step"] > self.steps:
            raise ValueError(f"{path} was made with another recipe: choose another --run folder or delete it")
        self.history = [tuple(entry) for entry in kept["history"]]
        if self.history[-1][1] != self.steps:
            self.history.append((int(kept["step"]), self.steps))
        self.step = int(kept["step"])
        self.network.load_state_dict(kept["network"])
        self.loss.load_state_dict(kept["loss"])
        self._optimiser.load_state_dict(kept["optimiser"])
        self.average = kept["average"]


def run(
    stage: Stage, batches: Callable[[], Batches], folder: Path, until: int | None = None, every_s: float = 120.0, workers: int = 1
) -> None:
    """Train to `until` (or the stage's end), a checkpoint each `every_s` seconds and at the end; goes on where `folder` holds one."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / f"{stage.name}.pt"
    if checkpoint.exists():
        stage.load(checkpoint)
    last = min(until or stage.steps, stage.steps)
    if stage.step >= last:
        return
    kwargs = {"num_workers": workers, "prefetch_factor": STAGE_PREFETCH_BATCHES} if workers else {}
    loader = DataLoader(batches(), batch_size=None, sampler=range(stage.step, last), **kwargs)
    saved_s = time.monotonic()
    columns = (TextColumn(stage.name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns) as progress, (folder / f"{stage.name}.csv").open("a", newline="") as file:
        curves = csv.writer(file)
        task = progress.add_task("", total=last, completed=stage.step)
        for batch in loader:
            first = stage.step == 0
            figures = stage.advance(batch)
            if first:
                curves.writerow(["step", *figures, "seconds"])
            progress.update(
                task, completed=stage.step, description=" ".join(f"{name} {value:.3f}" for name, value in figures.items())
            )
            if stage.step % STAGE_CURVE_STEPS == 0:
                curves.writerow([stage.step, *(f"{value:.4f}" for value in figures.values()), round(time.monotonic(), 1)])
                file.flush()
            if time.monotonic() - saved_s > every_s:
                stage.save(checkpoint)
                saved_s = time.monotonic()
    stage.save(checkpoint)
