"""Whose palm among many: the service's gallery beside a plain exact numpy scan of the same signatures in the same run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.progress import track

from identity.gallery import EXACT_MAX, Gallery
from identity.signatures import Side, Signatures
from tests.bench.table import Figure, timed

SIZES = (100_000, 1_000_000)
GOAL_PEOPLE, GOAL_MS = 1_000_000, 10.0
BYTES_A_PERSON = 6_000
"""Both lights, their codes, room to be copied while the arrays grow, what Python keeps on a person, and numpy's own copy."""

COSINE = 0.6
"""Of the probe with its owner, in each light: about the average look (models/palm.calibration.json)."""

DIMENSION = 256
ROUNDS, PLAIN_ROUNDS = 100, 10


def free_bytes() -> int:
    """Memory that could be had now."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))


def figures() -> list[Figure]:
    """One line for each size that fits into memory."""
    return [
        _searched(people)
        if free_bytes() > people * BYTES_A_PERSON
        else Figure(f"whose palm among {people:,}", "", f"not measured: {people * BYTES_A_PERSON / 1e9:.0f} GB are needed", None)
        for people in SIZES
    ]


def _searched(people: int) -> Figure:
    draw = np.random.default_rng(1)
    gallery = Gallery(DIMENSION, b"bench" * 8)
    made = draw.standard_normal((people, DIMENSION), np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    for number in track(range(people), description=f"a gallery of {people:,}"):
        gallery.add(f"p{number}", Side.RIGHT, [Signatures(surface=made[number], veins=made[number], mixed=None)])
    look = made[:2].copy()
    for light, aside in enumerate(made[-2:]):
        look[light] = COSINE * made[7] + np.sqrt(1 - COSINE**2) * (aside - (aside @ made[7]) * made[7])
    look /= np.linalg.norm(look, axis=1, keepdims=True)
    probe = gallery.rotated(Signatures(surface=look[0], veins=look[1], mixed=None))
    ours = timed(lambda _: gallery.search(Side.RIGHT, probe, 8), rounds=ROUNDS, warm_up=3)
    assert gallery.search(Side.RIGHT, probe, 8).owners[0] == "p7", "a search that finds somebody else is not worth timing"
    plain = timed(lambda _: int(np.argmax(made @ look[0] + made @ look[1])), rounds=PLAIN_ROUNDS, warm_up=1)
    goal = people == GOAL_PEOPLE
    return Figure(
        f"whose palm among {people:,}, both polarisations",
        f"{GOAL_MS:g} ms" if goal else "",
        f"median {ours.median:.1f} ms, p99 {ours.percentile(99):.1f}",
        ours.median <= GOAL_MS if goal else None,
        f"exact numpy scan: {plain.median:.1f} ms, {plain.median / ours.median:.2f} times as long",
        remarks=[f"one template a palm; binary codes, then exact comparison of the best (above {EXACT_MAX:,} templates)"] * goal,
    )
