"""Two hands that come in together, through the real finder: nobody must be charged because one of them was seen first."""

from __future__ import annotations

import numpy as np
import pytest

from terminal.config import PalmOptions
from terminal.palm.pipeline import PalmPipeline
from terminal.palm.types import Guidance, Look
from terminal.reader.frame import Frame
from terminal.simulation.reader import CYCLE
from terminal.simulation.scene import render_scene
from terminal.simulation.show import Stage

RATE_HZ = 60
SECONDS = 1.5
LOOKS_MAX = 2
"""The service wants three probes that agree before it is sure of anybody."""

EXPOSURE_US, GAIN = 4000, 2.0


@pytest.fixture(scope="module")
def pipeline() -> PalmPipeline:
    return PalmPipeline(PalmOptions())


@pytest.mark.parametrize("seed", [1, 3, 6, 11, 14])
def test_two_hands_are_said_before_there_is_evidence_for_either(pipeline: PalmPipeline, seed: int) -> None:
    now = [100.0]
    stage, noise = Stage(1, clock=lambda: now[0]), np.random.default_rng(seed)
    stage.show_two_hands(seed=seed)
    pipeline.reset()
    looks, words = 0, []
    for number in range(int(SECONDS * RATE_HZ)):
        now[0] += 1 / RATE_HZ
        light = CYCLE[number % len(CYCLE)]
        pixels, _ = render_scene(stage.actors(now[0]), light, stage.conditions(), noise, stage.size, EXPOSURE_US, GAIN)
        for said in pipeline.push(Frame(number, pixels, light, now[0], EXPOSURE_US, GAIN)):
            if isinstance(said, Look):
                looks += 1
            else:
                words.append(said)
    assert Guidance.ONE_HAND in words
    assert looks <= LOOKS_MAX
