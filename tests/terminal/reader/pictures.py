"""Synthetic recordings that the tests write: gradients and numbers, nobody's hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def picture(level: int, width: int = 64, height: int = 40) -> NDArray[np.uint8]:
    """A grey slope whose mean is `level`, so that a test can tell pictures apart by their mean."""
    slope = np.linspace(-8, 8, width)[None, :] + np.zeros((height, 1))
    return np.clip(level + slope, 0, 255).astype(np.uint8)


def write(path: Path, pixels: NDArray[Any]) -> Path:
    """Write losslessly by the suffix, names beyond ASCII included."""
    done, data = cv2.imencode(path.suffix, pixels)
    assert done
    data.tofile(path)
    return path


def folder(path: Path, levels: dict[str, int]) -> Path:
    """A folder of pictures: name -> mean grey."""
    path.mkdir(exist_ok=True)
    for name, level in levels.items():
        write(path / name, picture(level))
    return path


def video(path: Path, levels: list[int]) -> Path:
    """A Motion JPEG video, one frame for each level."""
    writer: Any = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (64, 40), True)
    assert writer.isOpened()
    for level in levels:
        writer.write(cv2.cvtColor(picture(level), cv2.COLOR_GRAY2BGR))
    writer.release()
    return path


class Clock:
    """A clock that moves only when somebody sleeps on it."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
