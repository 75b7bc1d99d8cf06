"""What pictures of palms look like in numbers: contrast and skewness by scale, for folders of ROIs and for simulated ones side by side.

`python -m models.statistics FOLDER...` prints one row for each folder; `python -m models.statistics` alone prints the simulation's.
Each picture is divided by its mean; a band is the difference of two Gaussians; the inner 112x112 pixels count.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from models.palm_generator import Palm, Regime, Studio
from models.palm_people import PEOPLE_SEED_HELD_OUT, crowd
from models.palm_weather import CALM, Weather
from terminal.palm.types import ROI_SIDE_PX

BANDS_PX = ((0.0, 1.0), (1.0, 2.0), (2.0, 4.0), (4.0, 8.0), (8.0, 16.0))
_MARGIN_PX = 8
_SUFFIXES = {".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff"}


def bands(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Float64 [bands + 1, 2]: standard deviation (in parts of the mean) and skewness of each band; the last row is the whole picture."""
    relative = picture.astype(np.float32) / max(float(picture.mean()), 1.0)
    levels = [relative if sigma == 0 else cv2.GaussianBlur(relative, (0, 0), sigma) for sigma in (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)]
    rows = [a - b for a, b in itertools.pairwise(levels)]
    found = []
    for row in [*rows, relative]:
        inner = row[_MARGIN_PX:-_MARGIN_PX, _MARGIN_PX:-_MARGIN_PX].astype(np.float64)
        deviation = float(inner.std())
        found.append((deviation, float(((inner - inner.mean()) ** 3).mean()) / max(deviation, 1e-9) ** 3))
    return np.array(found)


def summary(pictures: Iterable[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """Float64 [3, bands + 1, 2]: 10 %, 50 % and 90 % quantiles over the pictures. Raises ValueError when there are none."""
    all_bands = [bands(picture) for picture in pictures]
    if not all_bands:
        raise ValueError("there are no pictures to measure")
    return np.quantile(np.stack(all_bands), (0.1, 0.5, 0.9), axis=0)


def simulated(regime: Regime, visible: bool, count: int = 60) -> list[NDArray[np.uint8]]:
    """One view each of `count` held-out palms in one kind of light."""
    people = crowd(PEOPLE_SEED_HELD_OUT + 500_000, min(count, 30))
    palms = [Palm(i % len(people), i % len(people), regime, 1.0, bool(i // len(people) % 2)) for i in range(count)]
    weather = Weather(visible_share=1.0) if visible else CALM
    studio = Studio(people, palms, 11, weather)
    return [studio.view(0, i) for i in range(count)]


def folder(path: Path, limit: int = 400) -> list[NDArray[np.uint8]]:
    """Up to `limit` pictures below a folder, evenly taken, as 128x128 grey."""
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in _SUFFIXES)
    chosen = files[:: max(1, len(files) // limit)]
    pictures = (cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) for file in chosen)
    return [cv2.resize(p, (ROI_SIDE_PX, ROI_SIDE_PX), interpolation=cv2.INTER_AREA) for p in pictures if p is not None]


def main(
    folders: Annotated[list[Path] | None, typer.Argument(help="folders of ROI pictures; none: only the simulation")] = None,
) -> None:
    """Print contrast (%) and skewness by band: median, and the 10-90 % spread."""
    table = Table("pictures", *(f"{a:g}-{b:g} px" for a, b in BANDS_PX), "whole", title="std in % of the mean (10-90 %), skew")
    sources: list[tuple[str, list[NDArray[np.uint8]]]] = [(path.name, folder(path)) for path in folders or []]
    sources += [(f"simulated {r.value}", simulated(r, False)) for r in Regime] + [
        ("simulated visible", simulated(Regime.SURFACE, True))
    ]
    for name, pictures in sources:
        low, middle, high = summary(pictures)
        cells = [
            f"{100 * m[0]:.2f} ({100 * a[0]:.2f}-{100 * b[0]:.2f}) {m[1]:+.2f}" for a, m, b in zip(low, middle, high, strict=True)
        ]
        table.add_row(f"{name} ({len(pictures)})", *cells)
    Console(width=150).print(table)


if __name__ == "__main__":
    typer.run(main)
