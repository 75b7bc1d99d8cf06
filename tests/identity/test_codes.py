"""Binary codes before exact comparison: nobody is lost, nothing stays of who is forgotten, and change beside search is safe."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from identity.codes import KINDS, Codes, compared_in
from identity.gallery import COHORT_SAMPLE, Gallery
from identity.signatures import Side, Signatures

Vectors = NDArray[np.float32]

SECRET = bytes(range(32))
DIMENSION = 256
PEOPLE, CANDIDATES = 4_000, 8
"""The share of candidates that the real limits give among a million."""

LIGHTS = {"both": (0, 1), "surface": (0,), "mixed": (2,)}
SMALL = 32


def unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


def drawn(draw: np.random.Generator, count: int, spectrum: str, dimension: int = DIMENSION) -> Vectors:
    """[count, D]: uniform on the sphere, or with a power-law spectrum of effective dimension 85, like a trained network's."""
    scale = np.ones(dimension) if spectrum == "isotropic" else np.arange(1, dimension + 1) ** -0.45
    return unit(draw.standard_normal((count, dimension), np.float32) * scale.astype(np.float32))


def signatures(rows: Vectors, lights: tuple[int, ...]) -> Signatures:
    """Of rows [3, D] those of `lights`."""
    surface, veins, mixed = (rows[light] if light in lights else None for light in range(3))
    return Signatures(surface, veins, mixed)


def at_cosine(vector: Vectors, other: Vectors, cosine: float) -> Vectors:
    aside = unit(other - (other @ vector) * vector)
    return np.asarray(cosine * vector + np.sqrt(1 - cosine**2) * aside, np.float32)


@pytest.fixture(scope="module", params=["isotropic", "power law"])
def people(request: pytest.FixtureRequest) -> tuple[str, Vectors, Gallery, Gallery]:
    """Spectrum, vectors [PEOPLE, 3, D], the same people behind codes and behind the exact scan. Every third has the mixed light only."""
    draw = np.random.default_rng(7)
    vectors = np.stack([drawn(draw, PEOPLE, request.param) for _ in range(3)], axis=1)
    coded = Gallery(DIMENSION, SECRET, exact_max=0, candidates=CANDIDATES)
    exact = Gallery(DIMENSION, SECRET, exact_max=PEOPLE)
    for number, rows in enumerate(vectors):
        for gallery in (coded, exact):
            gallery.add(f"p-{number}", Side.RIGHT, [signatures(rows, (2,) if number % 3 == 2 else (0, 1))])
    return request.param, vectors, coded, exact


@pytest.mark.parametrize("cosine", [0.6, 0.75, 0.95])
@pytest.mark.parametrize("lights", LIGHTS)
def test_the_nearest_owner_is_the_one_of_the_exact_scan(
    people: tuple[str, Vectors, Gallery, Gallery], lights: str, cosine: float
) -> None:
    spectrum, vectors, coded, exact = people
    draw = np.random.default_rng(11)
    for number in range(2 if lights == "mixed" else 0, 75, 3):
        noise = drawn(draw, 3, spectrum)
        rows = np.stack([at_cosine(vectors[number, light], noise[light], cosine) for light in range(3)])
        probe = coded.rotated(signatures(rows, LIGHTS[lights]))
        found, expected = coded.search(Side.RIGHT, probe, 1), exact.search(Side.RIGHT, probe, 1)
        assert found.owners[0] == expected.owners[0] == f"p-{number}"
        assert found.scores[0] == pytest.approx(expected.scores[0], abs=1e-5)


def test_the_cohort_of_a_sample_means_what_that_of_all_does(people: tuple[str, Vectors, Gallery, Gallery]) -> None:
    _, vectors, coded, exact = people
    probe = coded.rotated(signatures(vectors[6], (0, 1)))
    sampled, whole = (gallery.search(Side.RIGHT, probe, 8).cohort for gallery in (coded, exact))
    others = sum(number % 3 != 2 for number in range(PEOPLE)) - 1
    assert whole.rows == (others, others, 0)
    assert sampled.rows[0] == pytest.approx(COHORT_SAMPLE * 2 / 3, rel=0.1)
    for light in (0, 1):
        assert sampled.mean[light] == pytest.approx(whole.mean[light], abs=4 * whole.deviation[light] / sampled.rows[light] ** 0.5)
        assert sampled.deviation[light] == pytest.approx(whole.deviation[light], rel=0.1)
    assert coded.search(Side.RIGHT, probe, 8).cohort == sampled, "the sample is fixed"


def test_a_probe_of_few_ones_is_not_crowded_by_removed_people() -> None:
    """Every component is negative: zeros in the codes of removed rows would be nearest of all."""
    gallery = Gallery(SMALL, SECRET, exact_max=0, candidates=1)
    vectors = drawn(np.random.default_rng(3), 400, "isotropic", SMALL)
    for number, vector in enumerate(vectors):
        gallery.add(f"p-{number}", Side.RIGHT, [Signatures(vector, vector)])
    for number in range(60):
        gallery.remove(f"p-{number}")
    down = np.full((3, SMALL), -(SMALL**-0.5), np.float32)
    rows = gallery._shelves[Side.RIGHT].codes.nearest(down, {(0, 1): 40}, 400)
    assert np.count_nonzero(rows < 60) < 20


def test_the_richest_kind_that_both_have() -> None:
    both, surface, mixed, everything = (True, True, False), (True, False, False), (False, False, True), (True, True, True)
    assert compared_in(both, both) == compared_in(both, everything) == (0, 1)
    assert compared_in(both, surface) == compared_in(surface, everything) == (0,)
    assert compared_in(mixed, everything) == (2,)
    assert compared_in(mixed, both) is None


def test_nearest_is_by_bits_that_differ() -> None:
    draw = np.random.default_rng(5)
    codes, rows = Codes(300, 60), draw.standard_normal((300, 3, 60)).astype(np.float32)
    for number, row in enumerate(rows):
        codes.put(number, row, (True, True, True))
    for kind in KINDS:
        unlike = np.count_nonzero((rows[:, list(kind)] > 0) != (rows[0, list(kind)] > 0), axis=(1, 2))
        found = codes.nearest(rows[0], {kind: 20}, 300)
        assert found.size == 20
        assert unlike[found].max() <= np.sort(unlike)[19]


def test_of_a_forgotten_person_no_code_and_no_vector_stays() -> None:
    gallery = Gallery(DIMENSION, SECRET, exact_max=0)
    vectors = drawn(np.random.default_rng(2), 3, "isotropic")
    gallery.add("p-1", Side.RIGHT, [signatures(vectors, (0, 1, 2))])
    shelf = gallery._shelves[Side.RIGHT]
    before = {kind: codes[0].copy() for kind, codes in shelf.codes._of.items()}
    gallery.remove("p-1")
    assert not shelf.vectors.any()
    for kind, codes in shelf.codes._of.items():
        unlike = np.count_nonzero(np.unpackbits(codes[0] ^ before[kind]))
        assert unlike > 0.3 * codes.shape[1] * 8, "as unlike as a stranger's"


@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "replace"]), st.integers(0, 9), st.integers(0, 6)), max_size=40))
@settings(max_examples=25, deadline=None)
def test_any_coming_replacing_and_going_is_as_in_a_plain_model(steps: list[tuple[str, int, int]]) -> None:
    pool = drawn(np.random.default_rng(1), 10 * 7 * 3, "isotropic", SMALL).reshape(10, 7, 3, SMALL)
    kinds = list(LIGHTS.values())
    gallery = Gallery(SMALL, SECRET, exact_max=0)
    model: dict[int, int] = {}
    for step, number, version in steps:
        if step != "add" or number in model:
            assert gallery.remove(f"p-{number}") == (number in model)
            model.pop(number, None)
        if step != "remove":
            gallery.add(f"p-{number}", Side.LEFT, [signatures(pool[number, version], kinds[version % 3])])
            model[number] = version
    assert (gallery.owners, gallery.templates) == (len(model), len(model))
    for lights in kinds:
        probe = pool[0, 0]
        expected = {}
        for number, version in model.items():
            common = [light for light in lights if light in kinds[version % 3]]
            if common:
                expected[f"p-{number}"] = float(np.mean([pool[number, version, light] @ probe[light] for light in common]))
        found = gallery.search(Side.LEFT, gallery.rotated(signatures(probe, lights)), 10)
        assert dict(zip(found.owners, found.scores, strict=True)) == pytest.approx(expected, abs=1e-5)


def test_searches_beside_forgetting_see_one_persons_rows_only() -> None:
    """Compactions move the rows of somebody who is searched for: never are another's taken for them."""
    gallery = Gallery(SMALL, SECRET, exact_max=0, candidates=8)
    vectors = drawn(np.random.default_rng(4), 400, "isotropic", SMALL)
    people = [Signatures(vector, vector) for vector in vectors]
    for number in range(100):
        gallery.add(f"p-{number}", Side.RIGHT, [people[number]])
    gallery.add("p-x", Side.RIGHT, [people[399]])
    probe = gallery.rotated(people[399])
    wrong: list[object] = []
    done = threading.Event()

    def search() -> None:
        while not done.is_set():
            found = gallery.search(Side.RIGHT, probe, 2)
            cosines = gallery.cosines(Side.RIGHT, ["p-x"], probe)
            if found.owners[:1] != ("p-x",) or not np.allclose(cosines["p-x"][0, :2], 1.0, atol=1e-4):
                wrong.append((found, cosines))

    searching = threading.Thread(target=search)
    searching.start()
    for number in range(298):
        gallery.remove(f"p-{number}")
        gallery.add(f"p-{number + 100}", Side.RIGHT, [people[number + 100]])
    done.set()
    searching.join()
    assert not wrong
