"""The gallery against brute force, and under change."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.gallery import EXACT_MAX, ROWS_START, TEMPLATES_MAX, Gallery, rotation
from identity.signatures import Side, Signatures
from tests.identity.support import DIMENSION, Palm

SECRET = bytes(range(32))


def templates(seed: int, count: int = 3, lights: str = "both") -> list[Signatures]:
    return [look.signatures for look in Palm(seed).looks(count, lights)]


@pytest.fixture(params=[EXACT_MAX, 0], ids=["exact", "codes"])
def gallery(request: pytest.FixtureRequest) -> Gallery:
    return Gallery(DIMENSION, SECRET, exact_max=request.param)


def test_the_rotation_keeps_cosines_and_belongs_to_the_key() -> None:
    matrix = rotation(DIMENSION, SECRET)
    assert np.allclose(matrix @ matrix.T, np.eye(DIMENSION), atol=1e-5)
    assert np.array_equal(matrix, rotation(DIMENSION, SECRET))
    assert not np.allclose(matrix, rotation(DIMENSION, b"x" * 32), atol=0.1)
    assert abs(float(np.trace(matrix))) < DIMENSION / 4, "nothing like the identity"


def test_the_same_owners_as_brute_force_and_each_once(gallery: Gallery) -> None:
    kept = {f"p-{seed}": templates(seed) for seed in range(200)}
    for owner, made in kept.items():
        gallery.add(owner, Side.RIGHT, made)
    probe = Palm(17).looks(1)[0].signatures
    assert probe.surface is not None
    assert probe.veins is not None
    brute = {
        owner: max(float(0.5 * t.surface @ probe.surface + 0.5 * t.veins @ probe.veins) for t in made)  # type: ignore[operator]
        for owner, made in kept.items()
    }
    expected = sorted(brute, key=lambda owner: -brute[owner])[:8]
    found = gallery.search(Side.RIGHT, gallery.rotated(probe), 8)
    assert list(found.owners) == expected
    assert found.owners[0] == "p-17"
    assert np.allclose(found.scores, [brute[owner] for owner in expected], atol=1e-5)
    exact = gallery.cosines(Side.RIGHT, ["p-17", "p-3", "p-none"], gallery.rotated(probe))
    assert set(exact) == {"p-17", "p-3"}
    assert np.allclose(exact["p-17"][:, 0], [t.surface @ probe.surface for t in kept["p-17"]], atol=1e-5)  # type: ignore[operator]
    assert np.isnan(exact["p-17"][:, 2]).all(), "neither has a mixed signature"


def test_the_cohort_leaves_the_nearest_owner_out(gallery: Gallery) -> None:
    for seed in range(100):
        gallery.add(f"p-{seed}", Side.RIGHT, templates(seed))
    found = gallery.search(Side.RIGHT, gallery.rotated(Palm(17).looks(1)[0].signatures), 8)
    assert found.cohort.rows == (297, 297, 0)
    assert abs(found.cohort.mean[0]) < 0.05
    assert found.cohort.deviation[0] == pytest.approx(DIMENSION**-0.5, rel=0.25)


def test_sides_and_lights_are_apart(gallery: Gallery) -> None:
    gallery.add("p-left", Side.LEFT, templates(1))
    gallery.add("p-one-light", Side.RIGHT, templates(2, lights="mixed"))
    both, mixed = Palm(1).looks(1)[0].signatures, Palm(2).looks(1, "mixed")[0].signatures
    assert gallery.search(Side.RIGHT, gallery.rotated(both), 8).owners == ()
    assert gallery.search(Side.LEFT, gallery.rotated(both), 8).owners == ("p-left",)
    assert gallery.search(Side.LEFT, gallery.rotated(mixed), 8).owners == ()
    assert gallery.search(Side.RIGHT, gallery.rotated(mixed), 8).owners == ("p-one-light",)


def test_an_empty_gallery_and_wrong_numbers_of_templates(gallery: Gallery) -> None:
    assert gallery.search(Side.RIGHT, gallery.rotated(Palm(1).looks(1)[0].signatures), 8).owners == ()
    for count in (0, TEMPLATES_MAX + 1):
        with pytest.raises(ValueError, match="templates"):
            gallery.add("p", Side.RIGHT, templates(1, count))
    assert gallery.owners == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=150))
@settings(max_examples=40, deadline=None)
def test_any_coming_and_going(steps: list[tuple[bool, int]]) -> None:
    gallery, there = Gallery(DIMENSION, SECRET), set()
    for comes, seed in steps:
        if comes and seed not in there:
            gallery.add(f"p-{seed}", Side.RIGHT, templates(seed, 4))
            there.add(seed)
        elif not comes:
            assert gallery.remove(f"p-{seed}") == (4 if seed in there else 0)
            there.discard(seed)
    assert gallery.owners == len(there)
    assert gallery.templates == 4 * len(there)
    for seed in range(31):
        probe = gallery.rotated(Palm(seed).looks(1)[0].signatures)
        found = gallery.search(Side.RIGHT, probe, 40)
        assert set(found.owners) == {f"p-{other}" for other in there}
        assert (seed in there) == bool(found.owners and found.owners[0] == f"p-{seed}" and found.scores[0] > 0.6)
        assert (f"p-{seed}" in gallery.cosines(Side.RIGHT, [f"p-{seed}"], probe)) == (seed in there)


def test_what_is_removed_is_blanked(gallery: Gallery) -> None:
    gallery.add("p-1", Side.RIGHT, templates(1))
    gallery.remove("p-1")
    assert not any(shelf.vectors.any() for shelf in gallery._shelves.values())


def test_searches_beside_changes_see_whole_owners(gallery: Gallery) -> None:
    gallery.add("p-0", Side.RIGHT, templates(0))
    probe = gallery.rotated(Palm(0).looks(1)[0].signatures)
    wrong: list[object] = []
    done = threading.Event()

    def search() -> None:
        while not done.is_set():
            found = gallery.search(Side.RIGHT, probe, 4)
            if not found.owners or found.owners[0] != "p-0" or "" in found.owners:
                wrong.append(found.owners)

    searching = threading.Thread(target=search)
    searching.start()
    for seed in range(1, 2 * ROWS_START):
        gallery.add(f"p-{seed}", Side.RIGHT, templates(seed, 2))
        if seed % 3:
            gallery.remove(f"p-{seed}")
    done.set()
    searching.join()
    assert not wrong
