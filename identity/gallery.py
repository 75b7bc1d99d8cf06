"""The gallery: whose templates are nearest to a probe.

An in-memory search. It is a cache: the truth is the encrypted record (people.py), from which it is filled at the start. It holds a keyed
rotation of each signature (a secret orthogonal matrix keeps every cosine), so that what leaks from an engine is worth nothing without
the key.

Up to EXACT_MAX templates of a side every one is compared with the probe. Above, binary codes (codes.py) choose CANDIDATES of them, and
these are compared exactly: every score that is given out is exact, and the owner of the palm is found as the whole scan would find it.
What may differ is which *strangers*, all far away, come after. How similar a probe is to everybody else is then measured on a fixed
sample of COHORT_SAMPLE rows, one drawn from each of so many equal stretches.

The interface is also that of a larger engine (shards by hash of the owner): `add`, `remove`, `search` for the nearest *different*
owners, and `cosines` with few named owners, exactly. Evidence asks for nothing else.

Threads: any number of searches beside one change. A change never moves what a search in progress looks at: rows are only appended,
removed rows are blanked, codes too, and skipped, and a compaction makes new arrays.
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

from identity.codes import Codes, Has, compared_in
from identity.signatures import Side, Signatures, Vector

ROWS_START = 64
"""Rows that a shelf begins with; doubled when full."""

TEMPLATES_MAX = 8
"""Most templates of one palm."""

DEAD_SHARE_MAX = 0.25
"""A shelf with more removed rows than this is compacted."""

EXACT_MAX = 20_000
"""Most templates of one side that are all compared exactly: some 5 ms in both lights, no more than the two stages take for a million."""

CANDIDATES = 2_000
"""Rows that the codes choose for exact comparison where both polarisations are compared. Measured among 1,000,000 with a power-law
spectrum (effective dimension 85): of 300 genuine probes at cosine 0.5 none had its owner after the 100th; at 0.4, 1 after the 4,000th."""

ONE_LIGHT_MORE = 3
"""So many times more candidates where one light is compared: a code of half the length tells less. Measured as above: at cosine 0.6 the
owner of 1 in 300 came after the 2,000th, of none after the 4,000th; at 0.5 (poor captures), of 1 in 150 after the 4,000th."""

COHORT_SAMPLE = 2_048
"""Rows that stand for everybody else above EXACT_MAX: their mean is known to a fiftieth of a standard deviation."""

Rows = slice | NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cohort:
    """How similar the probe is to everybody but its nearest owner: of each modality, mean and standard deviation of the cosines.

    Over all templates of the side up to EXACT_MAX, over a sample above; `rows` says over how many.
    """

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
    codes: Codes = field(repr=False)
    lights: frozenset[Has]  # combinations of lights that rows have, or had before they were removed
    count: int
    dead: int


class Gallery:
    """Search over all templates. `secret` (32 bytes) makes the rotation."""

    def __init__(
        self,
        dimension: int,
        secret: bytes,
        surface_weight: float = 0.5,
        *,
        exact_max: int = EXACT_MAX,
        candidates: int = CANDIDATES,
    ) -> None:
        self.dimension = dimension
        self.surface_weight = surface_weight
        self._exact_max, self._candidates = exact_max, candidates
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
            for row, signatures in enumerate(templates, shelf.count):
                vectors, has = self.rotated(signatures), signatures.has()
                there = np.flatnonzero(has)  # the plane of a light that nobody has is never touched: it costs no memory
                shelf.vectors[there, row] = vectors[there]
                shelf.has[:, row] = has
                shelf.owner[row] = index
                shelf.codes.put(row, vectors, has)
            before = self._rows.get((side, index), np.empty(0, np.int64))
            lights = shelf.lights.union(signatures.has() for signatures in templates)
            self._shelves[side] = replace(shelf, count=shelf.count + len(templates), lights=lights)
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
                shelf.codes.blank(rows)
                removed += rows.size
                if self._shelves[side].dead > max(ROWS_START, DEAD_SHARE_MAX * shelf.count):
                    self._compact(side, self._shelves[side].owner.size)
            self._names[index] = ""
            return removed

    def search(self, side: Side, probe: NDArray[np.float32], at_most: int) -> Found:
        """The `at_most` nearest different owners of palms of this side to `probe` float32 [3, D] (from `rotated`)."""
        shelf = self._shelves[side]
        everybody = slice(0, shelf.count)
        exact = shelf.count <= self._exact_max
        near: Rows = everybody if exact else self._near(shelf, probe, at_most)
        cosines, owner = self._compared(shelf, near, probe), shelf.owner[near]
        fused = self._fused(cosines)
        fused[(owner < 0) | np.isnan(fused)] = -np.inf
        owners, scores = self._different(fused, owner, at_most)
        top = owners[0] if owners else -2
        if not exact:
            sample = _sample(shelf.count)
            cosines, owner = self._compared(shelf, sample, probe), shelf.owner[sample]
        named = [(self._names[index], score) for index, score in zip(owners, scores, strict=True) if self._names[index]]
        cohort = _cohort(cosines, (owner >= 0) & (owner != top))
        return Found(tuple(name for name, _ in named), tuple(score for _, score in named), cohort)

    def cosines(self, side: Side, owners: Iterable[str], probe: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Exact cosines float32 [K, 3] of each owner's K templates of this side (NaN where either lacks the modality).

        Owners without a palm of this side are left out.
        """
        seen = np.any(probe != 0, axis=1)
        found = {}
        for owner in owners:
            shelf, rows = self._rows_of(side, owner)
            if rows.size == 0:
                continue
            values = np.einsum("mkd,md->km", shelf.vectors[:, rows, :], probe)
            usable = shelf.has[:, rows].T & seen
            found[owner] = np.where(usable, values, np.nan).astype(np.float32)
        return found

    def _rows_of(self, side: Side, owner: str) -> tuple[_Shelf, NDArray[np.int64]]:
        """A shelf and this owner's rows on it, which belong together although a compaction moves rows meanwhile."""
        none = np.empty(0, np.int64)
        index, shelf = self._index.get(owner, -1), self._shelves[side]
        rows = self._rows.get((side, index), none)
        if rows.size == 0 or (rows.max() < shelf.count and (shelf.owner[rows] == index).all()):
            return shelf, rows
        with self._changing:  # read half before, half after a change
            return self._shelves[side], self._rows.get((side, self._index.get(owner, -1)), none)

    def _near(self, shelf: _Shelf, probe: NDArray[np.float32], at_most: int) -> NDArray[np.int64]:
        """The rows that the codes choose. Where some templates lack a light, each kind of comparison chooses its own."""
        surface, veins, mixed = (bool(row.any()) for row in probe)
        kinds = {compared_in(has, (surface, veins, mixed)) for has in shelf.lights}
        enough = {
            kind: max(self._candidates * (1 if len(kind) > 1 else ONE_LIGHT_MORE), at_most * TEMPLATES_MAX)
            for kind in kinds
            if kind is not None
        }
        return shelf.codes.nearest(probe, enough, shelf.count)

    @staticmethod
    def _compared(shelf: _Shelf, rows: Rows, probe: NDArray[np.float32]) -> NDArray[np.float32]:
        """Exact cosines float32 [3, R] of these rows; NaN where row or probe lacks the modality."""
        has = shelf.has[:, rows]
        cosines = np.full(has.shape, np.nan, np.float32)
        for modality in range(3):
            if probe[modality].any() and has.shape[1]:
                cosines[modality] = np.where(has[modality], shelf.vectors[modality, rows] @ probe[modality], np.nan)
        return cosines

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
            Codes(capacity, self.dimension),
            frozenset(),
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
        for modality in range(3):
            if old.has[modality].any():
                np.take(old.vectors[modality], living, axis=0, out=new.vectors[modality, : living.size], mode="clip")
        new.has[:, : living.size] = old.has[:, living]
        new.owner[: living.size] = old.owner[living]
        new.codes.take(old.codes, living)
        self._shelves[side] = replace(new, count=living.size, lights=old.lights)
        if living.size == old.count:
            return
        moved = np.full(max(old.count, 1), -1, np.int64)
        moved[living] = np.arange(living.size)
        for key in [key for key in self._rows if key[0] is side]:
            self._rows[key] = moved[self._rows[key]]


def _sample(count: int) -> NDArray[np.int64]:
    """COHORT_SAMPLE rows of `count`, always the same ones: one at random from each of so many equal stretches. All, if there are fewer."""
    if count <= COHORT_SAMPLE:
        return np.arange(count)
    places = np.arange(COHORT_SAMPLE) + np.random.default_rng(0).random(COHORT_SAMPLE)
    return (places * (count / COHORT_SAMPLE)).astype(np.int64)


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
