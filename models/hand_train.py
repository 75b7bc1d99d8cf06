"""Train the three networks of the hand finder on simulated hands and write hand.onnx.

    python -m models.hand_train [--runs models/runs/hand] [--coarse-steps N] [--fine-steps N] [--valley-steps N] [--out FILE]

Goes on where it was killed. Curves are CSV files beside the checkpoints. About an hour on one core, less on a GPU.
"""

from __future__ import annotations

import csv
import math
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Annotated

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from models.hand_network import Coarse, Fine, Valley, export
from models.hand_pool import Pool, pool
from models.hand_samples import COARSE_SHAPES, coarse_sample, coarse_targets, fine_sample, valley_sample
from terminal.palm.geometry import FINE_SIDE_PX, PATCH_SIDE_PX

VERSION = "hand-0.2.0"
"""What this recipe gives, and what is committed (models/hand.md)."""
LICENCE = "Apache-2.0"
BATCH = 48
LEARNING_RATE = 2.5e-3
WARM_UP_STEPS = 100
CHECKPOINT_S = 60.0
AVERAGE = 0.998
"""Exported weights are a running average over about the last 500 steps."""
PREFETCH = 3

Tensors = dict[str, Tensor]
F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Task:
    """One network, its batches and its loss."""

    name: str
    network: Callable[[], nn.Module]
    batch: Callable[[np.random.Generator], Tensors]
    loss: Callable[[nn.Module, Tensors], tuple[Tensor, dict[str, float]]]


def _picture(images: list[F32] | F32) -> Tensor:
    return torch.from_numpy(np.stack(list(images))[:, None].astype(np.float32))


def coarse_task(hands: Pool) -> Task:
    """Where a palm is, in a whole frame."""

    def batch(rng: np.random.Generator) -> Tensors:
        height, width = COARSE_SHAPES[int(rng.integers(len(COARSE_SHAPES)))]
        samples = [coarse_sample(hands, rng, height, width) for _ in range(BATCH)]
        targets = [coarse_targets(shown, height, width) for _, shown in samples]
        heat, offsets, weight = (torch.from_numpy(np.stack(part)) for part in zip(*targets, strict=True))
        return {"image": _picture([image for image, _ in samples]), "heat": heat, "offsets": offsets, "weight": weight}

    def loss(network: nn.Module, data: Tensors) -> tuple[Tensor, dict[str, float]]:
        out = network(data["image"])
        logits, target = out[:, :3], data["heat"]
        share = torch.sigmoid(logits)
        unsure = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        heat = ((share - target).abs() ** 1.5 * unsure).sum() / (target.sum() + 20.0)
        weight = data["weight"][:, None]
        away = nn.functional.smooth_l1_loss(out[:, 3:], data["offsets"], reduction="none", beta=0.05)
        offsets = (away * weight).sum() / (8 * weight.sum() + 1.0)
        return 2.0 * heat + 2.0 * offsets, {"heat": float(heat), "offsets": float(offsets)}

    return Task("coarse", Coarse, batch, loss)


def fine_task(hands: Pool) -> Task:
    """Exactly where the points are, in an upright piece."""
    axis = torch.arange(FINE_SIDE_PX // 4, dtype=torch.float32) * 4 + 1.5

    def batch(rng: np.random.Generator) -> Tensors:
        samples = [fine_sample(hands, rng) for _ in range(BATCH)]
        return {
            "image": _picture([s.image for s in samples]),
            "points": torch.from_numpy(np.stack([s.points for s in samples])),
            "valid": torch.tensor([s.valid for s in samples], dtype=torch.float32),
            "angles": torch.tensor([s.angles for s in samples], dtype=torch.float32) / 30.0,
        }

    def loss(network: nn.Module, data: Tensors) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(network, Fine)
        heat, said = network.maps(data["image"])
        points, truth = network.expected(heat), data["points"]
        here = axis.to(truth.device)
        inside = ((truth > -2) & (truth < FINE_SIDE_PX + 1)).all(2) & (data["valid"] != 0)[:, None]
        weight = inside.float()
        total = weight.sum() + 1.0
        error = (points - truth).square().sum(2).add(1e-6).sqrt()
        doubt = said[:, :4].clamp(-2.5, 4.0)
        surprise = ((error * torch.exp(-doubt) + doubt) * weight).sum() / total
        x = torch.exp(-0.5 * ((here - truth[..., :1]) / 4.0) ** 2)
        y = torch.exp(-0.5 * ((here - truth[..., 1:]) / 4.0) ** 2)
        blob = y[..., :, None] * x[..., None, :]
        blob = blob / (blob.sum((2, 3), keepdim=True) + 1e-6)
        shape = -(blob * torch.log_softmax(heat.flatten(2), 2).reshape(heat.shape)).sum((2, 3))
        judged = (data["valid"] >= 0).float()
        valid = nn.functional.binary_cross_entropy_with_logits(said[:, 4], data["valid"].clamp(min=0), reduction="none")
        valid = (valid * judged).sum() / judged.sum()
        angles = ((said[:, 5:] - data["angles"]).abs().sum(1) * (data["valid"] == 1)).sum() / BATCH
        pixels = (error * weight).sum() / total
        parts = {"pixels": float(pixels), "valid": float(valid), "angles": float(angles), "surprise": float(surprise)}
        return 0.5 * pixels + 0.5 * surprise + 0.7 * (shape * weight).sum() / total + 2.0 * valid + 0.7 * angles, parts

    return Task("fine", Fine, batch, loss)


def valley_task(hands: Pool) -> Task:
    """Where a valley's web ends, in a patch around it."""
    axis = torch.arange(PATCH_SIDE_PX // 2, dtype=torch.float32) * 2 + 0.5

    def batch(rng: np.random.Generator) -> Tensors:
        samples = [valley_sample(hands, rng) for _ in range(BATCH // 2)]
        return {
            "image": _picture(np.concatenate([s.patches for s in samples])),
            "points": torch.from_numpy(np.concatenate([s.points for s in samples])),
        }

    def loss(network: nn.Module, data: Tensors) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(network, Valley)
        heat, said = network.maps(data["image"])
        points, truth = network.expected(heat)[:, 0], data["points"]
        weight = ((truth > 0) & (truth < PATCH_SIDE_PX - 1)).all(1).float()
        total = weight.sum() + 1.0
        error = (points - truth).square().sum(1).add(1e-6).sqrt()
        doubt = said[:, 0].clamp(-2.5, 4.0)
        surprise = ((error * torch.exp(-doubt) + doubt) * weight).sum() / total
        here = axis.to(truth.device)
        x = torch.exp(-0.5 * ((here - truth[:, :1]) / 2.0) ** 2)
        y = torch.exp(-0.5 * ((here - truth[:, 1:]) / 2.0) ** 2)
        blob = y[:, :, None] * x[:, None, :]
        blob = blob / (blob.sum((1, 2), keepdim=True) + 1e-6)
        shape = -(blob * torch.log_softmax(heat.flatten(1), 1).reshape(blob.shape)).sum((1, 2))
        pixels = (error * weight).sum() / total
        parts = {"pixels": pixels.item(), "surprise": surprise.item()}
        return 0.5 * pixels + 0.5 * surprise + 0.5 * (shape * weight).sum() / total, parts

    return Task("valley", Valley, batch, loss)


def batches(task: Task, seed: int, first: int, steps: int) -> Iterator[Tensors]:
    """Batches `first` to `steps` of a run, made by a thread of their own; each from its own seed."""
    ready: queue.Queue[Tensors | Exception] = queue.Queue(PREFETCH)
    gone = threading.Event()

    def put(item: Tensors | Exception) -> bool:
        while not gone.is_set():
            try:
                ready.put(item, timeout=1.0)
            except queue.Full:
                continue
            return True
        return False

    def make() -> None:
        try:
            for step in range(first, steps):
                if not put(task.batch(np.random.default_rng([seed, step, len(task.name)]))):
                    return
        except Exception as wrong:  # handed over to the training, which raises it
            put(wrong)

    threading.Thread(target=make, daemon=True, name=f"{task.name}-batches").start()
    try:
        for _ in range(first, steps):
            item = ready.get()
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        gone.set()


def train(task: Task, runs: Path, steps: int, seed: int, device: str) -> nn.Module:
    """Train to `steps`, from the last checkpoint where there is one; returns the averaged network, on the CPU."""
    torch.manual_seed(seed)
    network = task.network().to(device)  # made here, so that its weights come from the seed
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    network = network.to(memory_format=torch.channels_last)
    if isinstance(network, Coarse):
        nn.init.normal_(network.head.weight, std=0.01)
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=0.02)
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGE), use_buffers=True
    )
    checkpoint = runs / f"{task.name}-{seed}-{steps}.pt"
    step = 0
    if checkpoint.is_file():
        kept = torch.load(checkpoint, map_location=device, weights_only=True)
        network.load_state_dict(kept["network"])
        average.load_state_dict(kept["average"])
        optimiser.load_state_dict(kept["optimiser"])
        step = int(kept["step"])
    saved = monotonic()
    with (runs / f"{task.name}-{seed}-{steps}.csv").open("a", newline="") as file, _bar() as bar:
        curves = csv.writer(file)
        running: dict[str, float] = {}
        shown = bar.add_task(task.name, total=steps, completed=step, said="")
        network.train()
        for data in batches(task, seed, step, steps):
            falling = 0.5 * (1.0 + math.cos(math.pi * step / steps))
            rate = LEARNING_RATE * min(1.0, (step + 1) / WARM_UP_STEPS) * falling + 1e-5
            for group in optimiser.param_groups:
                group["lr"] = rate
            loss, parts = task.loss(network, {name: part.to(device) for name, part in data.items()})
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()
            average.update_parameters(network)
            step += 1
            for name, value in {"loss": loss.item(), **parts}.items():
                running[name] = value if name not in running else 0.98 * running[name] + 0.02 * value
            said = " ".join(f"{name} {value:.3f}" for name, value in running.items())
            bar.update(shown, completed=step, said=said)
            if step % 25 == 0:
                curves.writerow([step, f"{rate:.2e}", *(f"{value:.5f}" for value in running.values())])
                file.flush()
            if step == steps or monotonic() - saved > CHECKPOINT_S:
                saved = monotonic()
                _save(checkpoint, network, average, optimiser, step)
    return average.module.to("cpu").eval()


def _save(path: Path, network: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer, step: int) -> None:
    part = path.with_suffix(".part")
    kept = {"network": network.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict(), "step": step}
    torch.save(kept, part)
    part.replace(path)


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[said]}"),
    )


def main(
    runs: Annotated[Path, typer.Option(help="pool, checkpoints and curves")] = Path("models/runs/hand"),
    out: Annotated[Path, typer.Option(help="the model to write")] = Path("models/hand.onnx"),
    hands: Annotated[int, typer.Option(help="simulated hands in the pool, four frames each")] = 1500,
    coarse_steps: Annotated[int, typer.Option(help="batches of 48 whole frames")] = 4000,
    fine_steps: Annotated[int, typer.Option(help="batches of 48 pieces")] = 10600,
    valley_steps: Annotated[int, typer.Option(help="batches of 24 times three patches")] = 2000,
    seed: Annotated[int, typer.Option(help="of weights and samples")] = 1,
    threads: Annotated[int, typer.Option(help="for the network")] = 1,
    part: Annotated[str, typer.Option(help="only coarse, fine or valley: side by side they use several cores")] = "all",
    version: Annotated[str, typer.Option(help="written into the model")] = VERSION,
) -> None:
    """Train the networks and write hand.onnx."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    material = pool(runs, hands)
    tasks = {"coarse": (coarse_task, coarse_steps), "fine": (fine_task, fine_steps), "valley": (valley_task, valley_steps)}
    if part in tasks:
        task, steps = tasks[part]
        train(task(material), runs, steps, seed, device)
        return
    coarse, fine, valley = (train(task(material), runs, steps, seed, device) for task, steps in tasks.values())
    assert isinstance(coarse, Coarse)
    assert isinstance(fine, Fine)
    assert isinstance(valley, Valley)
    facts = {
        "version": version,
        "made_by": f"python -m models.hand_train --hands {hands} --coarse-steps {coarse_steps} --fine-steps {fine_steps} "
        f"--valley-steps {valley_steps} --seed {seed}",
        "licence": LICENCE,
    }
    export(coarse, fine, valley, out, facts)
    typer.echo(f"{out}: {version}, {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    typer.run(main)
