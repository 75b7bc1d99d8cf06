"""The hand finder over a folder of whole-hand pictures: overlays, canonical palms, and a line of facts for each.

    python -m models.inspect DIR OUT

Keeps the folder structure: DIR/a/b/c.jpg becomes OUT/palms/a/b/c.png, OUT/overlays/a/b/c.png and a line of OUT/found.jsonl, so that
OUT/palms can be given to models.evaluate. Pictures may be of any size and any way up. For measuring on research pictures: OUT may not lie
within this repository.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import track

from terminal.palm import quality
from terminal.palm.canonical import canonical_palm, roi_corners
from terminal.palm.finder import HandFinder
from terminal.palm.finder_network import ModelError
from terminal.palm.guidance import advice
from terminal.palm.types import Hand, NoHand

REPOSITORY = Path(__file__).resolve().parent.parent
PICTURES = {".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".pgm"}
OVERLAY_SIDE_MAX_PX = 640
COLOURS = ((0, 0, 255), (0, 200, 0), (255, 80, 0))
"""Of the three valleys, blue-green-red."""


def pictures(folder: Path) -> list[Path]:
    """Pictures below a folder, in order."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES and path.is_file())


def facts(found: Hand | NoHand, palm: NDArray[np.uint8] | None, shape: tuple[int, int]) -> dict[str, Any]:
    """What is known of one picture, as it is written."""
    if isinstance(found, NoHand):
        return {"found": False, "why": found.why.value, "presence": round(found.presence, 4)}
    assert palm is not None
    measured = quality.measure(palm)
    return {
        "found": True,
        "side": found.side.value,
        "valleys": np.round(found.valleys, 2).tolist(),
        "wrist": np.round(found.wrist, 2).tolist(),
        "confidence": round(found.confidence, 4),
        "distance_mm": round(found.distance_mm, 1),
        "roll_deg": round(found.roll_deg, 2),
        "yaw_deg": round(found.yaw_deg, 2),
        "pitch_deg": round(found.pitch_deg, 2),
        "advice": advice(found, *shape).value,
        "quality": round(measured.value, 4),
        "reason": getattr(measured.reason, "value", measured.reason),
    }


def overlay(image: NDArray[np.uint8], found: Hand | NoHand) -> NDArray[np.uint8]:
    """The picture made small, with what was found drawn into it, uint8 [height, width, 3]."""
    scale = min(1.0, OVERLAY_SIDE_MAX_PX / max(image.shape))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    drawn = cv2.cvtColor(small, cv2.COLOR_GRAY2BGR)
    if isinstance(found, NoHand):
        cv2.putText(drawn, f"{found.why.value} {found.presence:.2f}", (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (0, 0, 255), 2)
        return np.asarray(drawn, np.uint8)
    for point, colour in zip([*found.valleys, found.wrist], [*COLOURS, (255, 0, 255)], strict=True):
        centre = (round(float(point[0]) * scale), round(float(point[1]) * scale))
        cv2.circle(drawn, centre, 5, colour, 2, cv2.LINE_AA)
    corners = np.rint(roi_corners(found) * scale).astype(np.int32)
    cv2.polylines(drawn, [corners], True, (0, 255, 255), 1, cv2.LINE_AA)
    words = f"{found.side.value} {found.confidence:.2f} yaw {found.yaw_deg:.0f} pitch {found.pitch_deg:.0f}"
    cv2.putText(drawn, words, (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA)
    return np.asarray(drawn, np.uint8)


def inspect(folder: Path, out: Path, finder: HandFinder) -> Iterator[dict[str, Any]]:
    """Write everything of every picture below `folder`, and yield its facts. A picture that can't be read is a fact too."""
    for path in pictures(folder):
        name = path.relative_to(folder)
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if image is None:
            yield {"picture": str(name), "found": False, "why": "unreadable"}
            continue
        grey = np.asarray(image, np.uint8)
        try:
            found = finder.find_any_way_up(grey)
        except ValueError as wrong:
            yield {"picture": str(name), "found": False, "why": str(wrong)}
            continue
        palm = canonical_palm(grey, found) if isinstance(found, Hand) else None
        height, width = grey.shape
        written = {"overlays": overlay(grey, found)} if palm is None else {"overlays": overlay(grey, found), "palms": palm}
        for kind, picture in written.items():
            target = (out / kind / name).with_suffix(".png")
            target.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(target), picture)
        yield {"picture": str(name), "width": width, "height": height, **facts(found, palm, (height, width))}


def main(
    folder: Annotated[Path, typer.Argument(help="pictures of whole hands, in any folders")],
    out: Annotated[Path, typer.Argument(help="where to write; not within this repository")],
    model: Annotated[Path | None, typer.Option(help="another hand.onnx")] = None,
) -> None:
    """Find the hand in every picture of DIR; write overlays, canonical palms and found.jsonl to OUT."""
    if not folder.is_dir():
        raise typer.BadParameter(f"{folder} is no folder.")
    if out.resolve().is_relative_to(REPOSITORY):
        raise typer.BadParameter(f"{out} lies within the repository: pictures of hands are never kept there. Name another folder.")
    count = len(pictures(folder))
    if count == 0:
        raise typer.BadParameter(f"There are no pictures below {folder} (looked for {', '.join(sorted(PICTURES))}).")
    try:
        finder = HandFinder(model, threads=1)
    except ModelError as wrong:
        raise typer.BadParameter(str(wrong)) from None
    out.mkdir(parents=True, exist_ok=True)
    results: Counter[str] = Counter()
    with (out / "found.jsonl").open("w", encoding="utf-8") as lines:
        for line in track(inspect(folder, out, finder), total=count, description="hands"):
            lines.write(json.dumps(line) + "\n")
            results["found" if line["found"] else str(line["why"])] += 1
    typer.echo(f"{results.pop('found', 0)} of {count} found" + "".join(f"; {why}: {n}" for why, n in results.most_common()))


if __name__ == "__main__":
    typer.run(main)
