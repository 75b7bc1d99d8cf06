"""Whose palm among many: the service's gallery beside a plain numpy scan of the same signatures in the same run."""

from __future__ import annotations

import numpy as np

from identity.gallery import Gallery
from identity.signatures import Side, Signatures
from tests.bench.table import Figure, timed

PEOPLE = 20_000
GOAL_PEOPLE = 1_000_000
DIMENSION = 256
ROUNDS = 50


def figures() -> list[Figure]:
    """One line; the million of the goal belongs to a later engine behind the same interface."""
    draw = np.random.default_rng(1)
    gallery = Gallery(DIMENSION, b"bench" * 8)
    made = draw.standard_normal((PEOPLE, DIMENSION)).astype(np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    for number, signature in enumerate(made):
        gallery.add(f"p{number}", Side.RIGHT, [Signatures(surface=signature, veins=signature, mixed=None)])
    probe = gallery.rotated(Signatures(surface=made[7], veins=made[7], mixed=None))
    ours = timed(lambda _: gallery.search(Side.RIGHT, probe, 8), rounds=ROUNDS, warm_up=3)
    plain = timed(lambda _: int(np.argmax(made @ made[7] + made @ made[7])), rounds=ROUNDS, warm_up=3)
    return [
        Figure(
            f"whose palm among {PEOPLE:,}, both polarisations",
            f"10 ms among {GOAL_PEOPLE:,}",
            f"median {ours.median:.1f} ms, p99 {ours.percentile(99):.1f}",
            None,
            f"numpy scan: {plain.median:.1f} ms, {plain.median / ours.median:.2f} times as long",
            remarks=["an exact scan; the goal for a million people needs the engine of a later issue"],
        )
    ]
