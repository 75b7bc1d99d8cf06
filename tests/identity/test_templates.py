"""From looks to templates."""

from __future__ import annotations

import numpy as np
import pytest

from identity.signatures import Signatures
from identity.templates import Inconsistent, make
from tests.identity.support import Palm, calibrated


def test_a_stranger_scores_on_average_what_he_scores_against_one_look() -> None:
    """The calibration was measured against single looks; templates must not make impostors more similar."""
    looks = Palm(1).looks(12)
    (template,) = make(looks, calibrated(), 1).templates
    assert template.surface is not None
    for seed in range(100, 120):
        stranger = Palm(seed).looks(1)[0].signatures.surface
        assert stranger is not None
        single = np.mean([stranger @ look.signatures.surface for look in looks if look.signatures.surface is not None])
        assert float(stranger @ template.surface) == pytest.approx(float(single), abs=1e-5)


def test_different_poses_get_templates_of_their_own() -> None:
    palm = Palm(1)
    one, other = palm.looks(6), palm.looks(6)  # two presentations
    assert len(make(one + other, calibrated(), 5).templates) >= 2
    assert len(make(one + other, calibrated(), 1).templates) == 1
    assert len(make(one, calibrated(), 5).templates) == 1


def test_lights_that_only_some_looks_have_are_left_out() -> None:
    looks = Palm(1).looks(6) + Palm(1).looks(2, "surface")
    made = make(looks, calibrated(), 5)
    assert len(made.kept) == 6
    assert all(template.has() == (True, True, False) for template in made.templates)


def test_a_light_that_the_model_was_not_measured_on() -> None:
    kinds = {"surface": calibrated().kinds["surface"]}
    only = calibrated().model_copy(update={"kinds": kinds})
    with pytest.raises(Inconsistent, match="not measured"):
        make(Palm(1).looks(6, "mixed"), only, 5)
    assert make(Palm(1).looks(6, "both"), only, 5).templates


def test_consistency_is_that_of_what_is_kept() -> None:
    looks = Palm(1).looks(9)
    made = make([*looks, Palm(2).looks(1)[0]], calibrated(), 5)
    assert len(made.kept) == 9
    vectors = [look.signatures.surface for look in looks if look.signatures.surface is not None]
    cosines = np.array(vectors) @ np.array(vectors).T
    assert made.consistency == pytest.approx(float(cosines[~np.eye(9, dtype=bool)].mean()), abs=0.05)
    assert isinstance(made.templates[0], Signatures)
