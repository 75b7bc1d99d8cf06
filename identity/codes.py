"""Binary codes of templates: which few of very many rows are worth an exact comparison.

Bit i of a code says whether component i is positive, *after* the gallery's keyed rotation, which spreads what a network puts into few
components over all of them. Two vectors at cosine c differ in arccos(c) / pi of their bits, give or take chance, so the rows with the
fewest different bits hold the nearest ones. A row of both polarisations is 64 bytes where its vectors are 2 kB: a pass over a million
takes milliseconds. How often the true owner is among the candidates stands at CANDIDATES in gallery.py.

The pass is faiss' counting kernel over plain arrays. There is no faiss index, since those must not be searched while they are added to.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

import faiss
import numpy as np
from numpy.typing import NDArray

Lights = tuple[int, ...]
Has = tuple[bool, bool, bool]

KINDS: tuple[Lights, ...] = ((0, 1), (0,), (1,), (2,))
"""What a probe and a template are compared in, as indices of MODALITIES: both polarisations, else surface, else veins, else mixed."""


def compared_in(template: Has, probe: Has) -> Lights | None:
    """The richest of KINDS that both have; None where they can't be compared."""
    return next((kind for kind in KINDS if all(template[light] and probe[light] for light in kind)), None)


class Codes:
    """Codes of the rows of one shelf, for each of KINDS one array: a pass reads nothing that it doesn't compare.

    A row without a kind, and a removed one, has random bits there: as far from every probe as a stranger. Zeros would not do: all at
    once they are near to a probe that happens to have few ones, and would crowd the true owner out.

    As in the gallery, rows are appended and blanked under the gallery's lock, and a search only reads rows that were there when it began.
    """

    def __init__(self, capacity: int, dimension: int) -> None:
        self._light_bytes = -(-dimension // 8)
        self._of = {kind: np.empty((capacity, len(kind) * self._light_bytes), np.uint8) for kind in KINDS}

    def put(self, row: int, vectors: NDArray[np.float32], has: Has) -> None:
        """Write the codes of one template, float32 [3, D] rotated."""
        bits = np.packbits(vectors > 0, axis=1)
        self.blank(np.array([row]))
        for kind, codes in self._of.items():
            if all(has[light] for light in kind):
                codes[row] = bits[list(kind)].ravel()

    def blank(self, rows: NDArray[np.int64]) -> None:
        """Overwrite these rows with random bits."""
        for codes in self._of.values():
            noise = secrets.token_bytes(rows.size * codes.shape[1])
            codes[rows] = np.frombuffer(noise, np.uint8).reshape(rows.size, codes.shape[1])

    def take(self, other: Codes, rows: NDArray[np.int64]) -> None:
        """Begin with these rows of `other`."""
        for kind, codes in self._of.items():
            np.take(other._of[kind], rows, axis=0, out=codes[: rows.size], mode="clip")  # "raise" would make a copy first

    def nearest(self, probe: NDArray[np.float32], wanted: Mapping[Lights, int], count: int) -> NDArray[np.int64]:
        """Of the first `count` rows those with the fewest bits unlike `probe` float32 [3, D]: of each kind so many, ascending."""
        bits = np.packbits(probe > 0, axis=1)
        found = [np.empty(0, np.int64)]
        faiss.omp_set_num_threads(1)  # holds for the calling thread only, so it is said each time: one search, one core
        for kind, at_most in wanted.items():
            code = bits[list(kind)].reshape(1, -1)
            _, rows = faiss.knn_hamming(code, self._of[kind][:count], min(count, at_most), variant="mc")
            found.append(rows[0])
        return np.unique(np.concatenate(found))
