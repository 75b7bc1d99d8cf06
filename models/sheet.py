"""People by views on one picture, for a person to judge at a glance: `python -m models.sheet FILE.png`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from models.palm_generator import Palm, Regime, Studio
from models.palm_people import PEOPLE_SEED_HELD_OUT, crowd
from models.palm_weather import Weather

SHEET_PEOPLE_MAX = 40
SHEET_VIEWS_MAX = 24


def main(
    file: Annotated[Path, typer.Argument(help="where the picture goes")] = Path(__file__).parent / "runs" / "sheet.png",
    people: Annotated[int, typer.Option(min=1, max=SHEET_PEOPLE_MAX)] = 6,
    views: Annotated[int, typer.Option(min=1, max=SHEET_VIEWS_MAX, help="of each person in each light")] = 3,
) -> None:
    """One row a person: views in visible light, parallel, crossed and unpolarised near-infrared."""
    maps = crowd(PEOPLE_SEED_HELD_OUT, people)
    lights = ((Regime.SURFACE, 1.0), (Regime.SURFACE, 0.0), (Regime.VEINS, 0.0), (Regime.MIXED, 0.0))
    studios = [
        Studio(maps, [Palm(i, i, regime) for i in range(people)], 3, Weather(visible_share=visible)) for regime, visible in lights
    ]
    rows = [np.hstack([studio.view(view, person) for studio in studios for view in range(views)]) for person in range(people)]
    file.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(file), np.vstack(rows)):
        raise typer.BadParameter(f"{file} can't be written: name it .png in a folder that can be")
    typer.echo(f"{file}: {people} people, {views} views each in visible, parallel, crossed and unpolarised light")


if __name__ == "__main__":
    typer.run(main)
