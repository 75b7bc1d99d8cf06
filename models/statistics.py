"""What pictures of palms look like in numbers: contrast and skewness by scale, for folders of ROIs and for simulated ones side by side.

`python -m models.statistics FOLDER...` prints one row for each folder; `python -m models.statistics` alone prints the simulation's.
Each picture is divided by its mean; a band is the difference of two Gaussians; the inner 112x112 pixels count. The last column says how
alike strangers are: all palms share the course of their main lines and the shape of a hand, and an encoder that has never met that takes it
for likeness.
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
LIKENESS_PALMS_MIN, LIKENESS_PALMS_MAX = 3, 300
_MARGIN_PX = 8
_CROWD = 30
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


def likeness(strangers: list[NDArray[np.uint8]]) -> tuple[float, float]:
    """Mean and standard deviation of the correlations of pictures of different palms, one each, between sigma 2 and 8.

    Raises ValueError for fewer than three pictures.
    """
    if len(strangers) < LIKENESS_PALMS_MIN:
        raise ValueError(f"likeness needs {LIKENESS_PALMS_MIN} palms or more, not {len(strangers)}")
    flat = []
    for picture in strangers:
        relative = picture.astype(np.float32) / max(float(picture.mean()), 1.0)
        band = cv2.GaussianBlur(relative, (0, 0), 2.0) - cv2.GaussianBlur(relative, (0, 0), 8.0)
        flat.append(band[_MARGIN_PX:-_MARGIN_PX, _MARGIN_PX:-_MARGIN_PX].ravel())
    found = np.corrcoef(np.stack(flat))[np.triu_indices(len(flat), 1)]
    return float(found.mean()), float(found.std())


def simulated(regime: Regime, visible: bool, count: int = 60) -> list[NDArray[np.uint8]]:
    """One view each of `count` held-out palms in one kind of light."""
    people = crowd(PEOPLE_SEED_HELD_OUT + 500_000, min(count, _CROWD))
    palms = [Palm(i % len(people), i % len(people), regime, 1.0, bool(i // len(people) % 2)) for i in range(count)]
    weather = Weather(visible_share=1.0) if visible else CALM
    studio = Studio(people, palms, 11, weather)
    return [studio.view(0, i) for i in range(count)]


def folder(path: Path, limit: int = 400) -> list[NDArray[np.uint8]]:
    """Up to `limit` pictures below a folder, evenly taken, as 128x128 grey."""
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in _SUFFIXES)
    chosen = files[:: max(1, len(files) // limit)]
    return [picture for file in chosen for picture in _read(file)]


def strangers_of(path: Path) -> list[NDArray[np.uint8]]:
    """The first picture of each folder that holds some, up to LIKENESS_PALMS_MAX."""
    first: dict[Path, Path] = {}
    for file in sorted(path.rglob("*")):
        if file.suffix.lower() in _SUFFIXES:
            first.setdefault(file.parent, file)
    return [picture for file in list(first.values())[:LIKENESS_PALMS_MAX] for picture in _read(file)]


def _read(file: Path) -> list[NDArray[np.uint8]]:
    """The picture as 128x128 grey, or nothing where it is none."""
    picture = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    return [] if picture is None else [cv2.resize(picture, (ROI_SIDE_PX, ROI_SIDE_PX), interpolation=cv2.INTER_AREA)]


def main(
    folders: Annotated[list[Path] | None, typer.Argument(help="folders of ROI pictures; none: only the simulation")] = None,
) -> None:
    """Print contrast (%) and skewness by band: median, and the 10-90 % spread; and how alike strangers are."""
    title = "std in % of the mean (10-90 %), skew; correlation of strangers"
    table = Table("pictures", *(f"{a:g}-{b:g} px" for a, b in BANDS_PX), "whole", "strangers", title=title)
    sources = [(path.name, folder(path), strangers_of(path)) for path in folders or []]
    for regime, visible in (*((r, False) for r in Regime), (Regime.SURFACE, True)):
        pictures = simulated(regime, visible)
        name = "simulated visible" if visible else f"simulated {regime.value}"
        sources.append((name, pictures, pictures[:_CROWD]))  # the others are the same people, mirrored
    for name, pictures, strangers in sources:
        low, middle, high = summary(pictures)
        cells = [
            f"{100 * m[0]:.2f} ({100 * a[0]:.2f}-{100 * b[0]:.2f}) {m[1]:+.2f}" for a, m, b in zip(low, middle, high, strict=True)
        ]
        alike = "{:.3f} ± {:.3f}".format(*likeness(strangers)) if len(strangers) >= LIKENESS_PALMS_MIN else "-"
        table.add_row(f"{name} ({len(pictures)})", *cells, alike)
    Console(width=170).print(table)


if __name__ == "__main__":
    typer.run(main)
