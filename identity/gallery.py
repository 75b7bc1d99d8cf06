"""The gallery: whose templates are nearest to a probe.

An in-memory exact search. It is a cache: the truth is the encrypted record (people.py), from which it is filled at the start. It holds
a keyed rotation of each signature (a secret orthogonal matrix keeps every cosine), so that what leaks from an engine is worth nothing
without the key.

The interface is that of a later engine for millions (shared scans, binary codes with re-ranking, shards by hash of the owner): `add`,
`remove`, `search` for the nearest *different* owners, and `cosines` with few named owners, exactly. Evidence asks for nothing else.

Threads: any number of searches beside one change. A change never moves what a search in progress looks at: rows are only appended,
removed rows are blanked and skipped, and a compaction makes new arrays.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from identity.signatures import Side, Signatures, Vector

ROWS_START = 64
"""Rows that a shelf begins with; doubled when full."""

TEMPLATES_MAX = 8
"""Most templates of one palm."""

DEAD_SHARE_MAX = 0.25
"""A shelf with more removed rows than this is compacted."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """How similar the probe is to everybody but its nearest owner: of each modality, mean and standard deviation of the cosines."""

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    rows: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Found:
    """The nearest different owners, best first, with their fused scores (cosine; of an owner's templates the best one)."""

    owners: tuple[str, ...]
    scores: tuple[float, ...]
    cohort: Cohort


@dataclass(frozen=True, slots=True)
class _Shelf:
    """Templates of one side. Arrays have spare rows; `count` of them are in use. A shelf is replaced, never changed, where it is read."""

    vectors: NDArray[np.float32] = field(repr=False)  # [3, capacity, D]
    has: NDArray[np.bool_]  # [3, capacity]
    owner: NDArray[np.int64]  # [capacity]; -1: removed
    count: int
    dead: int


class Gallery:
    """Exact search over all templates. `secret` (32 bytes) makes the rotation."""

    def __init__(self, dimension: int, secret: bytes, surface_weight: float = 0.5) -> None:
        self.dimension = dimension
        self.surface_weight = surface_weight
        self._rotation = rotation(dimension, secret)
        self._changing = threading.Lock()
        self._shelves = {side: self._empty(ROWS_START) for side in Side}
        self._names: list[str] = []
        self._index: dict[str, int] = {}
        self._rows: dict[tuple[Side, int], NDArray[np.int64]] = {}

    @property
    def owners(self) -> int:
        """How many different owners there are."""
        return len(self._index)

    @property
    def templates(self) -> int:
        """How many templates there are."""
        return sum(shelf.count - shelf.dead for shelf in self._shelves.values())

    def rotated(self, signatures: Signatures) -> NDArray[np.float32]:
        """float32 [3, D] as this gallery compares them; rows of zeros where a light was not seen."""
        return np.asarray(signatures.matrix(self.dimension) @ self._rotation, np.float32)

    def add(self, owner: str, side: Side, templates: Sequence[Signatures]) -> None:
        """Put in the templates of one palm; found by every search that begins after this returns. Raises ValueError on none or too many."""
        if not 1 <= len(templates) <= TEMPLATES_MAX:
            raise ValueError(f"1 to {TEMPLATES_MAX} templates are expected, {len(templates)} came")
        with self._changing:
            if owner not in self._index:
                self._index[owner] = len(self._names)
                self._names.append(owner)
            index = self._index[owner]
            shelf = self._with_room(side, len(templates))
            rows = np.arange(shelf.count, shelf.count + len(templates))
            for row, signatures in zip(rows, templates, strict=True):
                shelf.vectors[:, row, :] = self.rotated(signatures)
                shelf.has[:, row] = signatures.has()
                shelf.owner[row] = index
            before = self._rows.get((side, index), np.empty(0, np.int64))
            self._shelves[side] = replace(shelf, count=shelf.count + len(templates))
            self._rows[side, index] = np.concatenate([before, rows])

    def remove(self, owner: str) -> int:
        """Take all templates of an owner out and blank them; returns how many there were."""
        with self._changing:
            index = self._index.pop(owner, None)
            if index is None:
                return 0
            removed = 0
            for side in Side:
                rows = self._rows.pop((side, index), None)
                if rows is None:
                    continue
                shelf = self._shelves[side]
                owners = shelf.owner.copy()
                owners[rows] = -1
                self._shelves[side] = replace(shelf, owner=owners, dead=shelf.dead + rows.size)
                shelf.vectors[:, rows, :] = 0.0  # a search in progress sees cosines of 0 at worst
                removed += rows.size
                if self._shelves[side].dead > max(ROWS_START, DEAD_SHARE_MAX * shelf.count):
                    self._compact(side, self._shelves[side].owner.size)
            self._names[index] = ""
            return removed

    def search(self, side: Side, probe: NDArray[np.float32], at_most: int) -> Found:
        """The `at_most` nearest different owners of palms of this side to `probe` float32 [3, D] (from `rotated`)."""
        shelf = self._shelves[side]
        n = shelf.count
        seen = [bool(np.any(row)) for row in probe]
        cosines = np.full((3, n), np.nan, np.float32)
        for modality in range(3):
            if seen[modality] and n:
                cosines[modality] = np.where(shelf.has[modality, :n], shelf.vectors[modality, :n] @ probe[modality], np.nan)
        fused = self._fused(cosines)
        fused[(shelf.owner[:n] < 0) | np.isnan(fused)] = -np.inf
        owners, scores = self._different(fused, shelf.owner[:n], at_most)
        top = owners[0] if owners else -2
        others = (shelf.owner[:n] >= 0) & (shelf.owner[:n] != top)
        named = [(self._names[index], score) for index, score in zip(owners, scores, strict=True) if self._names[index]]
        return Found(tuple(name for name, _ in named), tuple(score for _, score in named), _cohort(cosines, others))

    def cosines(self, side: Side, owners: Iterable[str], probe: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Exact cosines float32 [K, 3] of each owner's K templates of this side (NaN where either lacks the modality).

        Owners without a palm of this side are left out.
        """
        shelf = self._shelves[side]
        seen = np.any(probe != 0, axis=1)
        found = {}
        for owner in owners:
            rows = self._rows.get((side, self._index.get(owner, -1)))
            if rows is None or rows.size == 0 or rows[-1] >= shelf.count:
                continue
            values = np.einsum("mkd,md->km", shelf.vectors[:, rows, :], probe)
            usable = shelf.has[:, rows].T & seen
            found[owner] = np.where(usable, values, np.nan).astype(np.float32)
        return found

    def _fused(self, cosines: NDArray[np.float32]) -> NDArray[np.float32]:
        """One score for each row: both polarisations where both are there, else what there is."""
        surface, veins, mixed = cosines
        both = self.surface_weight * surface + (1 - self.surface_weight) * veins
        fused = np.where(np.isnan(both), np.where(np.isnan(surface), veins, surface), both)
        return np.asarray(np.where(np.isnan(fused), mixed, fused), np.float32)

    @staticmethod
    def _different(fused: NDArray[np.float32], owner: NDArray[np.int64], at_most: int) -> tuple[list[int], list[float]]:
        usable = int(np.count_nonzero(fused > -np.inf))
        wanted = min(usable, at_most * TEMPLATES_MAX)  # so many rows hold at_most different owners, if there are that many
        if wanted == 0:
            return [], []
        near = np.argpartition(-fused, wanted - 1)[:wanted]
        near = near[np.argsort(-fused[near], kind="stable")]
        best: dict[int, float] = {}
        for row in near:
            best.setdefault(int(owner[row]), float(fused[row]))
            if len(best) == at_most:
                break
        return list(best), list(best.values())

    def _empty(self, capacity: int) -> _Shelf:
        return _Shelf(
            np.zeros((3, capacity, self.dimension), np.float32),
            np.zeros((3, capacity), np.bool_),
            np.full(capacity, -1, np.int64),
            0,
            0,
        )

    def _with_room(self, side: Side, more: int) -> _Shelf:
        shelf = self._shelves[side]
        if shelf.count + more > shelf.owner.size:
            self._compact(side, 2 * shelf.owner.size)
        return self._shelves[side]

    def _compact(self, side: Side, capacity: int) -> None:
        """New arrays with the living rows only."""
        old = self._shelves[side]
        living = np.flatnonzero(old.owner[: old.count] >= 0)
        new = self._empty(capacity)
        new.vectors[:, : living.size] = old.vectors[:, living]
        new.has[:, : living.size] = old.has[:, living]
        new.owner[: living.size] = old.owner[living]
        self._shelves[side] = replace(new, count=living.size)
        moved = np.full(max(old.count, 1), -1, np.int64)
        moved[living] = np.arange(living.size)
        for key in [key for key in self._rows if key[0] is side]:
            self._rows[key] = moved[self._rows[key]]


def _cohort(cosines: NDArray[np.float32], others: NDArray[np.bool_]) -> Cohort:
    mean, deviation, rows = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0, 0, 0]
    for modality in range(3):
        values = cosines[modality][others]
        values = values[~np.isnan(values)]
        rows[modality] = int(values.size)
        if values.size:
            mean[modality], deviation[modality] = float(values.mean()), float(values.std())
    return Cohort((mean[0], mean[1], mean[2]), (deviation[0], deviation[1], deviation[2]), (rows[0], rows[1], rows[2]))


def rotation(dimension: int, secret: bytes) -> Vector:
    """A secret orthogonal matrix float32 [D, D], uniformly drawn (QR of normal numbers from a cipher's key stream).

    The same secret always gives the same matrix.
    """
    key = HKDF(SHA256(), 32, None, b"palmpay gallery rotation 1").derive(secret)
    stream = Cipher(algorithms.ChaCha20(key, bytes(16)), None).encryptor()
    halves = np.frombuffer(stream.update(bytes(16 * dimension * dimension)), "<u8").reshape(2, dimension, dimension)
    uniform = (halves.astype(np.float64) + 1.0) / 2.0**64
    normal = np.sqrt(-2.0 * np.log(uniform[0])) * np.cos(2.0 * np.pi * uniform[1])
    q, r = np.linalg.qr(normal)
    return np.asarray(q * np.sign(np.diag(r)), np.float32)
