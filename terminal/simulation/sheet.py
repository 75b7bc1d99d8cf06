"""A contact sheet of simulated people, so that a person can judge them at a glance.

    python -m terminal.simulation.sheet OUT.png --people 6 --views 8

People below each other, views beside each other: palms as a practised shopper holds them, then as a finder must bear them, the last two
columns a back of the hand and a fist or a sheet of paper; parallel light above crossed light.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from terminal.palm.types import Side
from terminal.reader.frame import Light
from terminal.simulation.conditions import Conditions, Subject
from terminal.simulation.motion import resting_pose
from terminal.simulation.person import Person
from terminal.simulation.scene import Pose, render

VIEW_SIZE = (200, 320)
PEOPLE_MAX = 40
VIEWS_MAX = 24


def views_of(person: Person, views: int, seed: int) -> NDArray[np.uint8]:
    """Both lights of `views` presentations of a person: uint8 [2 * height, views * width]."""
    columns = []
    for k in range(views):
        rng = np.random.default_rng([seed, person.seed, k])
        easy = k < views // 2
        conditions = Conditions.draw(rng, 0.0 if easy else 2.0)
        pose = resting_pose(rng) if easy else Pose.draw(rng)
        if k >= views - 2 and views > 3:
            others = (Subject.BACK,) if k == views - 2 else (Subject.FIST, Subject.PAPER)
            conditions = replace(conditions, subject=others[person.seed % len(others)])
        side = Side.RIGHT if rng.random() < 0.5 else Side.LEFT
        frames = [render(person, side, pose, light, conditions, rng, VIEW_SIZE).pixels for light in (Light.PARALLEL, Light.CROSSED)]
        columns.append(np.vstack(frames))
    return np.hstack(columns)


def main(
    out: Annotated[Path, typer.Argument(help="the PNG to write")],
    people: Annotated[int, typer.Option(min=1, max=PEOPLE_MAX, help="rows")] = 6,
    views: Annotated[int, typer.Option(min=1, max=VIEWS_MAX, help="columns")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="which people and views")] = 1,
) -> None:
    """Draw people by views by lights into one picture."""
    rows = [views_of(Person.from_seed(seed * 1000 + k), views, seed) for k in range(people)]
    if not cv2.imwrite(str(out), np.vstack(rows)):
        typer.echo(f"{out}: can't be written. Give the path of a .png in a folder that exists.", err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
