"""A crowd of people for training: their skins grown once, kept as bytes in one file, shared by every process that reads it."""

from __future__ import annotations

import argparse
import multiprocessing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from terminal.simulation.skin import SKIN_EXTENT_SPANS, SKIN_X_SPANS, SKIN_Y_SPANS, grow

PEOPLE_GROW_PX = 320
PEOPLE_PX_PER_SPAN = PEOPLE_GROW_PX / SKIN_EXTENT_SPANS
PEOPLE_LEFT_SPANS, PEOPLE_TOP_SPANS = -1.15, -0.3
PEOPLE_SIDE_PX = round(2.3 * PEOPLE_PX_PER_SPAN)
"""What is kept of a skin: the square that a misplaced, enlarged palm can still reach, in bytes: 128 + 212 * (map - 1)."""

PEOPLE_CODE = 212.0
PEOPLE_SEED_HELD_OUT = 1_000_000
"""Seeds from here on are never trained on."""

PEOPLE_FAMILY_EVERY, PEOPLE_FAMILY_SIZE = 6, 3
"""Of every six people trained on, three are relatives: their principal lines run alike."""

PEOPLE_MAX = 100_000
_CHUNK = 16

Maps = NDArray[np.uint8]


def person(seed: int) -> Maps:
    """Uint8 [2, P, P]: surface and veins of person `seed`; those trained on have relatives, so that main lines alone tell nobody."""
    related = seed < PEOPLE_SEED_HELD_OUT and seed % PEOPLE_FAMILY_EVERY < PEOPLE_FAMILY_SIZE
    skin = grow(seed, PEOPLE_GROW_PX, seed // PEOPLE_FAMILY_EVERY if related else None)
    left = round((PEOPLE_LEFT_SPANS - SKIN_X_SPANS[0]) * PEOPLE_PX_PER_SPAN)
    top = round((PEOPLE_TOP_SPANS - SKIN_Y_SPANS[0]) * PEOPLE_PX_PER_SPAN)
    window = (slice(top, top + PEOPLE_SIDE_PX), slice(left, left + PEOPLE_SIDE_PX))
    maps = np.stack([skin.surface[window], skin.veins[window]])
    coded: Maps = np.clip(128.5 + PEOPLE_CODE * (maps - 1.0), 0, 255).astype(np.uint8)
    return coded


def crowd(first_seed: int, count: int) -> Maps:
    """Uint8 [count, 2, P, P], grown in this process."""
    return np.stack([person(first_seed + i) for i in range(count)])


def grown(path: Path, first_seed: int, count: int, processes: int = 1) -> Maps:
    """The crowd in `path`, read-only and memory-mapped; grown first (and written whole or not at all) where it isn't there.

    Raises ValueError when the file holds another crowd or `count` is out of range.
    """
    if not 1 <= count <= PEOPLE_MAX:
        raise ValueError(f"a crowd has 1 to {PEOPLE_MAX} people, not {count}")
    shape = (count, 2, PEOPLE_SIDE_PX, PEOPLE_SIDE_PX)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        target = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
        jobs = [(part, first_seed, start, min(_CHUNK, count - start)) for start in range(0, count, _CHUNK)]
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            for _ in track(pool.imap_unordered(_grow_chunk, jobs), total=len(jobs), description="growing people"):
                pass
        target.flush()
        del target
        part.rename(path)
    maps: Maps = np.load(path, mmap_mode="r")
    if maps.shape != shape:
        raise ValueError(f"{path} holds {maps.shape[0]} people of {maps.shape[2]} px: delete it to grow {count} anew")
    return maps


def _grow_chunk(job: tuple[Path, int, int, int]) -> None:
    part, first_seed, start, count = job
    target = np.load(part, mmap_mode="r+")
    target[start : start + count] = crowd(first_seed + start, count)
    target.flush()


def main() -> None:
    """Grow a crowd ahead of training: `python -m models.palm_people FILE --people 4000`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--people", type=int, default=4000)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    grown(options.file, options.first_seed, options.people, options.processes)


if __name__ == "__main__":
    main()
