"""How well an encoder tells palms apart: `python -m models.evaluate [FOLDER] --onnx models/palm.onnx --out FOLDER`.

With a folder `<set>/<palm>/<sample>` of canonical palms it measures each set (samples named s1_ and s2_, or 1_ and 2_, are two sessions and
are compared across); without one, people that were never trained on are simulated. Prints tables, writes DET and error-versus-reject plots.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from models.palm_generator import CARELESS_SHARE, POLARISATIONS, Palm, Regime, Studio
from models.palm_people import PEOPLE_SEED_HELD_OUT, person
from models.palm_weather import CALM
from models.scores import SCORES_FARS, Rates, Scores, det, error_versus_reject, rates, threshold
from terminal.palm.encoder import Encoder
from terminal.palm.quality import measure
from terminal.palm.types import ROI_SIDE_PX

EVALUATE_FRAMES = 5
EVALUATE_PALMS_MAX = 20_000
_SUFFIXES = {".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff"}
_CHUNK = 32
_PAIRS_MAX = 5_000_000

Signatures = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Scored pairs of one experiment; owners and qualities are those of the probe."""

    name: str
    genuine: Scores
    impostor: Scores
    genuine_owner: NDArray[np.int64]
    impostor_owner: NDArray[np.int64]
    quality: Scores  # of the genuine pairs: the worse of both palms

    def rates(self) -> Rates:
        """All rates with their intervals."""
        return rates(self.genuine, self.impostor, self.genuine_owner, self.impostor_owner)


def encode(encoder: Encoder, pictures: NDArray[np.uint8]) -> Signatures:
    """Signatures float32 [N, D] of any number of palms."""
    return np.concatenate([encoder.encode(pictures[i : i + _CHUNK]) for i in range(0, len(pictures), _CHUNK)])


def load_set(folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Pictures uint8 [N, 128, 128], palm numbers and sessions (0 or 1). Raises ValueError when there are fewer than two palms."""
    pictures, owners, sessions = [], [], []
    palms = sorted(path for path in folder.iterdir() if path.is_dir())
    for number, palm in enumerate(palms):
        for file in sorted(path for path in palm.iterdir() if path.suffix.lower() in _SUFFIXES):
            picture = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
            if picture is None:
                continue
            pictures.append(cv2.resize(picture, (ROI_SIDE_PX, ROI_SIDE_PX), interpolation=cv2.INTER_AREA))
            owners.append(number)
            sessions.append(int(file.name.startswith(("s2_", "2_"))))
    if len(set(owners)) < 2:
        raise ValueError(f"{folder}: at least two palms are needed, as folders with pictures in them")
    return np.stack(pictures), np.array(owners), np.array(sessions)


def folder_pairs(encoder: Encoder, folder: Path) -> Pairs:
    """Every pair of one set, across sessions where there are two."""
    pictures, owners, sessions = load_set(folder)
    signatures = encode(encoder, pictures)
    quality = np.array([measure(picture).value for picture in pictures], np.float32)
    i, j = np.triu_indices(len(owners), 1)
    if sessions.any() and not sessions.all():
        across = sessions[i] != sessions[j]
        i, j = i[across], j[across]
    same = owners[i] == owners[j]
    g, n = np.flatnonzero(same), np.flatnonzero(~same)
    if len(n) > _PAIRS_MAX:
        n = np.random.default_rng(0).choice(n, _PAIRS_MAX, replace=False)

    def cosines(which: NDArray[np.int64]) -> Scores:
        parts = np.array_split(which, max(1, len(which) // 100_000))
        return np.concatenate([np.einsum("nd,nd->n", signatures[i[part]], signatures[j[part]]) for part in parts])

    worse = np.minimum(quality[i[g]], quality[j[g]])
    return Pairs(folder.name, cosines(g), cosines(n), owners[j[g]], owners[j[n]], worse)


@dataclass(frozen=True, slots=True)
class Presented:
    """Signatures of simulated palms: float32 [palms, 2 presentations, frames, D] each, and the frames' mean quality [palms, 2]."""

    surface: Signatures
    veins: Signatures
    mixed: Signatures
    quality: Scores


def present(
    encoder: Encoder,
    palms: int,
    first_seed: int,
    frames: int = EVALUATE_FRAMES,
    one_light: bool = True,
    careless: float = CARELESS_SHARE,
) -> Presented:
    """Enrol (presentation 0) and probe (presentation 1) `palms` palms that were never trained on; a person gives two, the second mirrored.

    one_light: also without polarisers (else `mixed` is empty, which saves a third of the time).
    careless: this share of the presentations is misplaced by much.

    Raises ValueError when `palms` is out of range.
    """
    if not 2 <= palms <= EVALUATE_PALMS_MAX:
        raise ValueError(f"2 to {EVALUATE_PALMS_MAX} palms can be simulated, not {palms}")
    cv2.setNumThreads(1)
    keys = ("surface", "veins", "mixed") if one_light else ("surface", "veins")
    found: dict[str, list[Signatures]] = {key: [] for key in keys}
    quality = np.zeros((palms, 2), np.float32)
    for number in track(range(palms), description="simulating palms", transient=True):
        if number % 2 == 0:
            maps = person(first_seed + number // 2)[None]
        studio = Studio(maps, [Palm(0, 0, Regime.MIXED, 1.0, bool(number % 2))], first_seed + number, CALM, careless=careless)
        for key in found:
            found[key].append(np.empty((2, frames, encoder.dimension), np.float32))
        for presentation in range(2):
            lit = studio.presentation(presentation, 0, frames, (*POLARISATIONS, Regime.MIXED) if one_light else POLARISATIONS)
            for key, pictures in zip(keys, lit, strict=True):
                found[key][-1][presentation] = encode(encoder, pictures)
            quality[number, presentation] = np.mean([measure(picture).value for picture in lit[:2].reshape(-1, *lit.shape[2:])])
    surface, veins = np.stack(found["surface"]), np.stack(found["veins"])
    return Presented(surface, veins, np.stack(found["mixed"]) if one_light else surface[:0], quality)


def _mean(signatures: Signatures) -> Signatures:
    """Unit mean over the frames: [palms, frames, D] to [palms, D]."""
    total = signatures.mean(axis=1)
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-6), np.float32)


def simulated_pairs(seen: Presented) -> list[Pairs]:
    """Enrolment against probe, all with all: each light, both lights; one frame of the probe, and all of them."""
    palms = len(seen.surface)
    same = np.eye(palms, dtype=bool)
    owner = np.broadcast_to(np.arange(palms), (palms, palms))
    worse = seen.quality.min(axis=1)
    experiments = []
    for frames in (1, seen.surface.shape[2]):
        lights = {
            name: _mean(light[:, 0]) @ _mean(light[:, 1, :frames]).T
            for name, light in (("surface", seen.surface), ("veins", seen.veins), ("one light", seen.mixed))
            if len(light)
        }
        lights["both"] = 0.5 * (lights["surface"] + lights["veins"])
        for name, scores in lights.items():
            title = f"simulated {name}, {frames} frame{'s' * (frames > 1)}"
            experiments.append(Pairs(title, scores[same], scores[~same], owner[same], owner[~same], worse))
    return experiments


def report(experiments: list[Pairs], out: Path | None) -> list[dict[str, Any]]:
    """Print the table; write plots and figures.json where `out` is given. Returns what figures.json holds."""
    table = Table(
        "pairs of", "genuine", "impostor", "EER % (95 %)", *(f"TAR % at {far:g}" for far in SCORES_FARS), "margin", "eff. dim."
    )
    figures = []
    for pairs in experiments:
        r = pairs.rates()
        tars = [
            f"{100 * r.tar[far]:.2f} ({100 * r.tar_low[far]:.2f}-{100 * r.tar_high[far]:.2f})" if far in r.tar else "-"
            for far in SCORES_FARS
        ]
        eer = f"{100 * r.eer:.2f} ({100 * r.eer_low:.2f}-{100 * r.eer_high:.2f})"
        cells = [pairs.name, str(r.genuine), str(r.impostor), eer, *tars, f"{r.margin:+.3f}", f"{r.effective_dimension:.0f}"]
        table.add_row(*cells)
        figures.append({"name": pairs.name, **asdict(r)})
    Console(width=220).print(table)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        _plots(experiments, out)
    return figures


def _plots(experiments: list[Pairs], out: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(8, 6))
    for pairs in experiments:
        axis.plot(*det(pairs.genuine, pairs.impostor), label=pairs.name)
    axis.set(xscale="log", xlabel="false accept rate", ylabel="false reject rate", title="DET")
    axis.set_yscale("symlog", linthresh=1e-3)
    axis.legend(fontsize=7)
    axis.grid(alpha=0.3)
    figure.savefig(out / "det.png", dpi=110, bbox_inches="tight")
    figure, axis = plt.subplots(figsize=(8, 6))
    shares = np.linspace(0.0, 0.4, 41)
    for pairs in experiments:
        at = threshold(pairs.impostor, 1e-4) or threshold(pairs.impostor, 1e-2) or float(pairs.impostor.max())
        axis.plot(shares, error_versus_reject(pairs.genuine, pairs.quality, at, shares), label=pairs.name)
    axis.set(
        xlabel="share rejected, lowest quality first",
        ylabel="false reject rate (threshold at FAR 1e-4)",
        title="error versus reject",
    )
    axis.legend(fontsize=7)
    axis.grid(alpha=0.3)
    figure.savefig(out / "error_versus_reject.png", dpi=110, bbox_inches="tight")
    plt.close("all")


def main(
    folder: Annotated[Path | None, typer.Argument(help="<set>/<palm>/<sample> pictures; absent: simulated people")] = None,
    onnx: Annotated[Path | None, typer.Option(help="encoder; absent: the shipped one")] = None,
    out: Annotated[Path | None, typer.Option(help="where plots and figures.json go")] = None,
    palms: Annotated[int, typer.Option(min=2, max=EVALUATE_PALMS_MAX, help="simulated; 1750 give 3e6 impostor comparisons")] = 200,
    one_light: Annotated[bool, typer.Option(help="simulate also a reader without polarisers")] = True,
    careless: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="share of simulated presentations whose square is off by up to 12 %; hand.onnx's own: 0.02"
        ),
    ] = CARELESS_SHARE,
    threads: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Measure, print, plot."""
    encoder = Encoder(onnx, threads)
    if folder is None:
        experiments = simulated_pairs(present(encoder, palms, PEOPLE_SEED_HELD_OUT, one_light=one_light, careless=careless))
    else:
        sets = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        if not sets:
            raise typer.BadParameter(f"{folder} has no sets: it is laid out as <set>/<palm>/<sample>.png")
        experiments = [folder_pairs(encoder, path) for path in sets]
    report(experiments, out)


if __name__ == "__main__":
    typer.run(main)
