"""What a recording is: which pictures, in which order, taken in which light.

A recording is a folder of pictures or a video. Each picture's light comes from, in this order:
the sidecar `lights.toml` or `lights.csv` in the folder (for a video: `<video>.lights.toml` beside it), a word in the file name, the
sidecar's default, and at last `Light.SINGLE`: one lamp of unknown polarisation.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from terminal.reader.frame import Light, ReaderError

PICTURE_SUFFIXES = frozenset({".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff", ".pgm", ".webp"})
VIDEO_SUFFIXES = frozenset({".avi", ".mkv", ".mov", ".mp4", ".m4v", ".mpg", ".webm"})
PICTURES_MAX = 200_000  # a day at 2 a second; a folder beyond this is somebody's archive by mistake
SIDECAR_BYTES_MAX = 32 * 1024 * 1024
PAUSE_MAX_S = 60.0  # between two recorded pictures; more is a wrong unit

# A word of a file name -> light. Words are what lies between anything that is neither letter nor digit.
NAME_WORDS: dict[str, Light] = {
    "parallel": Light.PARALLEL, "par": Light.PARALLEL, "surface": Light.PARALLEL,
    "crossed": Light.CROSSED, "cross": Light.CROSSED, "vein": Light.CROSSED, "veins": Light.CROSSED,
    "dark": Light.DARK, "ambient": Light.DARK, "off": Light.DARK,
    "single": Light.SINGLE, "nir": Light.SINGLE, "ir": Light.SINGLE,
    "mixed": Light.MIXED,
}  # fmt: skip
# 850p, 940c, 850nmx: wavelength, then the polarisation's first letter (c and x: crossed).
_WAVELENGTH = re.compile(r"(?:\d{3,4})(?:nm)?([pcx]?)")
_POLARISATION = {"p": Light.PARALLEL, "c": Light.CROSSED, "x": Light.CROSSED, "": Light.SINGLE}


@dataclass(frozen=True, slots=True)
class Still:
    """One picture of a recording. time_s: since the recording began; None: not known."""

    path: Path
    light: Light
    exposure_us: int | None = None
    gain: float | None = None
    time_s: float | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """What is to be played, in order.

    stills: empty for a video. cycle: lights of a video's frames, repeating. bits: of 16-bit pictures that are used (None: told by
    looking). timed: every picture has its own time.
    """

    path: Path
    stills: tuple[Still, ...] = ()
    cycle: tuple[Light, ...] = (Light.SINGLE,)
    exposure_us: int | None = None
    gain: float | None = None
    bits: int | None = None
    timed: bool = False

    @property
    def is_video(self) -> bool:
        """Whether frames come from one video file."""
        return not self.stills


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    light: Light | None = None
    exposure_us: int | None = Field(None, ge=1, le=1_000_000)
    gain: float | None = Field(None, ge=0.1, le=1000)
    time_s: float | None = Field(None, ge=0, le=30 * 86_400)


class _Defaults(_Entry):
    cycle: tuple[Light, ...] = Field((), max_length=16)
    bits: int | None = Field(None, ge=8, le=16)


class _Sidecar(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    default: _Defaults = _Defaults()
    pictures: dict[str, _Entry] = Field({}, max_length=PICTURES_MAX)


def light_of_name(name: str) -> Light | None:
    """The light that a file name tells, None where it tells none; the last word that tells something counts.

    `0007_crossed.png`, `hand-850p-03.bmp`, `anna_dark.pgm`. Only words are looked at, so `parker.png` tells nothing.
    """
    told = None
    for word in re.split(r"[^a-z0-9]+", Path(name).stem.lower()):
        if word in NAME_WORDS:
            told = NAME_WORDS[word]
        elif (found := _WAVELENGTH.fullmatch(word)) and (found[1] or "nm" in word):
            told = _POLARISATION[found[1]]
    return told


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts `2.png` before `10.png`, case aside; total, so that the order is the same everywhere."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name.casefold())
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts)


def find(path: Path) -> Recording:
    """Look at a folder or a video and its sidecar. Opens no picture. Raises ReaderError with what to do next."""
    try:
        if path.is_dir():
            return _folder(path)
        if path.is_file():
            return _video(path)
    except OSError as error:
        raise ReaderError(f"{path}: can't be looked at ({error.strerror}). Check the path and its permissions.") from None
    raise ReaderError(f"{path}: there is nothing here. Set [reader] replay_path to a folder of pictures or a video.")


def _video(path: Path) -> Recording:
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        raise ReaderError(
            f"{path}: neither a folder nor a video ({', '.join(sorted(VIDEO_SUFFIXES))}). Put pictures into a folder and give that."
        )
    sidecar = _sidecar(path.with_name(path.name + ".lights.toml"))
    if sidecar.pictures:
        raise ReaderError(f"{path.name}.lights.toml: [pictures] is for folders; a video takes [default] light or cycle.")
    light = sidecar.default.light or light_of_name(path.name) or Light.SINGLE
    given = sidecar.default
    return Recording(path, cycle=given.cycle or (light,), exposure_us=given.exposure_us, gain=given.gain, bits=given.bits)


def _folder(path: Path) -> Recording:
    names = sorted(
        (entry.name for entry in path.iterdir() if entry.suffix.lower() in PICTURE_SUFFIXES and not entry.name.startswith(".")),
        key=natural_key,
    )
    if not names:
        raise ReaderError(f"{path}: no picture here ({', '.join(sorted(PICTURE_SUFFIXES))}).{_hint(path)}")
    if len(names) > PICTURES_MAX:
        raise ReaderError(f"{path}: {len(names)} pictures, at most {PICTURES_MAX} are played. Give a part of them.")
    present = [file for file in (path / "lights.toml", path / "lights.csv") if file.exists()]
    if len(present) > 1:
        raise ReaderError(f"{path}: both lights.toml and lights.csv are here. Keep one of them.")
    sidecar = _sidecar(present[0]) if present else _Sidecar()
    known = set(names)
    if missing := sorted((n for n in sidecar.pictures if n not in known), key=natural_key):
        raise ReaderError(
            f"{present[0]}: {missing[0]!r} is not in the folder ({len(missing)} such). Correct the name or remove it."
        )
    stills = [_still(path, name, position, sidecar) for position, name in enumerate(names)]
    timed = all(still.time_s is not None for still in stills)
    if timed:
        stills.sort(key=lambda still: still.time_s or 0.0)
        _check_times(present[0], stills)
    return Recording(path, tuple(stills), bits=sidecar.default.bits, timed=timed)


def _still(folder: Path, name: str, position: int, sidecar: _Sidecar) -> Still:
    entry, default = sidecar.pictures.get(name, _Entry()), sidecar.default
    fallback = default.cycle[position % len(default.cycle)] if default.cycle else default.light
    light = entry.light or light_of_name(name) or fallback or Light.SINGLE
    return Still(folder / name, light, entry.exposure_us or default.exposure_us, entry.gain or default.gain, time_s=entry.time_s)


def _check_times(sidecar: Path, stills: list[Still]) -> None:
    for before, after in itertools.pairwise(stills):
        pause_s = (after.time_s or 0.0) - (before.time_s or 0.0)
        if pause_s <= 0:
            raise ReaderError(f"{sidecar}: {before.path.name} and {after.path.name} have the same time. Times must differ.")
        if pause_s > PAUSE_MAX_S:
            raise ReaderError(
                f"{sidecar}: {pause_s:.0f} s between {before.path.name} and {after.path.name}, at most {PAUSE_MAX_S:.0f}. "
                "Times are seconds since the recording began."
            )


def _hint(path: Path) -> str:
    folders = sorted((entry.name for entry in path.iterdir() if entry.is_dir()), key=natural_key)
    return f" There are folders, one is played at a time: give {path / folders[0]}, say." if folders else ""


def _sidecar(path: Path) -> _Sidecar:
    """Read a sidecar; an absent one says nothing. Raises ReaderError that names file, entry and what would be right."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return _Sidecar()
    if size > SIDECAR_BYTES_MAX:
        raise ReaderError(f"{path}: {size} bytes, a sidecar has at most {SIDECAR_BYTES_MAX}.")
    try:
        text = path.read_text(encoding="utf-8-sig")
        data = _rows(path, text) if path.suffix == ".csv" else tomllib.loads(text)
        return _Sidecar.model_validate(data)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, csv.Error) as error:
        raise ReaderError(f"{path}: can't be understood: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = " / ".join(str(part) for part in first["loc"])
        raise ReaderError(f"{path}: {where}: {first['msg']} (it is {first['input']!r}).") from None


def _rows(path: Path, text: str) -> dict[str, Any]:
    """The rows of a CSV with a heading: file, light and, where known, exposure_us, gain, time_s."""
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    known = {"file", *_Entry.model_fields}
    heading = reader.fieldnames or []
    if "file" not in heading or not set(heading) <= known:
        raise ReaderError(f"{path}: the first line must be a heading made of {', '.join(sorted(known))}; it is {heading}.")
    pictures: dict[str, dict[str, str]] = {}
    for row in reader:
        if None in row:
            raise ReaderError(f"{path}:{reader.line_num}: more columns than the heading has.")
        name = row.pop("file") or ""
        if name in pictures:
            raise ReaderError(f"{path}:{reader.line_num}: {name!r} has a row already.")
        pictures[name] = {key: value for key, value in row.items() if value}
    return {"pictures": pictures}
