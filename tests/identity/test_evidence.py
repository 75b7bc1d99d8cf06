"""Sequential evidence: what it decides, and that FAR is what it says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from identity.evidence import Evidence, More, Nobody, Rules, Sure, Unsure, Verdict
from identity.gallery import Gallery
from identity.signatures import Look, Side, Signatures
from identity.templates import make
from tests.identity.support import DIMENSION, Palm, calibrated, unit

RULES = Rules()


def gallery_of(palms: list[Palm], lights: str = "both") -> Gallery:
    gallery = Gallery(DIMENSION, b"s" * 32)
    for number, palm in enumerate(palms):
        made = make(palm.looks(10, lights), calibrated(), 5)
        gallery.add(f"p-{number}", palm.side, made.templates)
    return gallery


def decide(gallery: Gallery, looks: list[Look], rules: Rules = RULES) -> Verdict:
    evidence = Evidence(gallery, calibrated(), rules)
    for look in looks:
        evidence.add(look)
        verdict = evidence.verdict()
        if not isinstance(verdict, More):
            return verdict
    return verdict


PALMS = [Palm(seed) for seed in range(40)]
GALLERY = gallery_of(PALMS)


def test_everybody_is_known_at_once_and_nobody_mistaken() -> None:
    for number, palm in enumerate(PALMS):
        verdict = decide(GALLERY, palm.looks(20))
        assert isinstance(verdict, Sure), f"p-{number}: {verdict}"
        assert verdict.owner == f"p-{number}"
        assert verdict.probes <= 6


def test_strangers_are_nobody() -> None:
    verdicts = [decide(GALLERY, Palm(seed).looks(40)) for seed in range(1000, 1040)]
    assert not [verdict for verdict in verdicts if isinstance(verdict, Sure)]
    assert sum(isinstance(verdict, Nobody) for verdict in verdicts) >= 37, "the odd one resembles somebody and stays unsure"


def test_never_on_fewer_probes_than_the_rule_says() -> None:
    evidence = Evidence(GALLERY, calibrated(), RULES)
    looks = PALMS[3].looks(3)
    for look in looks[:2]:
        evidence.add(look)
        assert isinstance(evidence.verdict(), More)
    evidence.add(looks[2])
    assert isinstance(evidence.verdict(), Sure)


def test_the_same_frame_again_and_again_adds_nothing() -> None:
    """A borderline cosine stays one, however often it is shown."""
    palm = Palm(3)
    template = make(palm.looks(10), calibrated(), 1).templates[0]
    assert template.surface is not None
    assert template.veins is not None
    random = np.random.default_rng(3)

    def at(vector: np.ndarray, cosine: float) -> np.ndarray:
        other = random.normal(size=DIMENSION)
        other -= (other @ vector) * vector
        return unit(cosine * vector + np.sqrt(1 - cosine**2) * unit(other))

    gallery = Gallery(DIMENSION, b"s" * 32)
    gallery.add("p-0", Side.RIGHT, [template])
    frame = Look(Side.RIGHT, 0.9, Signatures(at(template.surface, 0.45), at(template.veins, 0.45)))
    verdict = decide(gallery, [frame] * 240)
    assert not isinstance(verdict, Sure)


@pytest.mark.parametrize("lights", ["surface", "veins", "mixed"])
def test_one_light_is_held_to_more(lights: str) -> None:
    gallery = gallery_of(PALMS[:5], lights)
    verdict = decide(gallery, PALMS[2].looks(20, lights))
    assert isinstance(verdict, Sure)
    assert verdict.owner == "p-2"
    assert verdict.probes >= RULES.single_light_probes_min
    never = dataclasses.replace(RULES, single_light_far=1e-300)
    assert not isinstance(decide(gallery, PALMS[2].looks(20, lights), never), Sure)
    assert isinstance(decide(GALLERY, PALMS[2].looks(20), never), Sure), "two lights are not held to it"


def test_the_right_lines_with_somebody_elses_veins_are_not_enough() -> None:
    """A print of a palm: its surface is perfect, its veins are not there."""
    owner, other = PALMS[4].looks(30), Palm(999).looks(30)
    forged = [
        Look(Side.RIGHT, 0.9, Signatures(a.signatures.surface, b.signatures.veins)) for a, b in zip(owner, other, strict=True)
    ]
    lenient = dataclasses.replace(RULES, far=1e-2, nobody_odds=1e-9)
    assert not isinstance(decide(GALLERY, forged, lenient), Sure)


def test_twins_are_told_apart_or_not_at_all() -> None:
    """Two owners with almost the same palm: the margin keeps the money where it is."""
    looks = PALMS[6].looks(10)
    gallery = gallery_of(PALMS[:6])
    made = make(looks, calibrated(), 5).templates
    gallery.add("p-twin-a", Side.RIGHT, made)
    gallery.add("p-twin-b", Side.RIGHT, made)
    verdict = decide(gallery, PALMS[6].looks(240))
    assert isinstance(verdict, Unsure)


def test_a_hand_that_was_still_settling_is_known_afterwards() -> None:
    """Ten spoilt probes first. They cost some evidence, not the purchase."""
    random = np.random.default_rng(8)
    spoilt = [
        Look(Side.RIGHT, 0.9, Signatures(unit(random.normal(size=DIMENSION)), unit(random.normal(size=DIMENSION))))
        for _ in range(9)
    ]
    verdict = decide(GALLERY, spoilt + PALMS[9].looks(25))
    assert isinstance(verdict, Sure)
    assert verdict.owner == "p-9"


def test_the_other_hand_is_somebody_else() -> None:
    left = [dataclasses.replace(look, side=Side.LEFT) for look in PALMS[1].looks(30)]
    assert isinstance(decide(GALLERY, left), Nobody)


def test_poor_probes_count_for_nothing_but_are_counted() -> None:
    poor = [dataclasses.replace(look, quality=0.1) for look in PALMS[1].looks(30)]
    assert decide(GALLERY, poor, dataclasses.replace(RULES, probes_max=30)) == Unsure(30)


def test_certainty_grows_from_zero_to_one() -> None:
    evidence = Evidence(GALLERY, calibrated(), dataclasses.replace(RULES, probes_min=10))
    seen = []
    for look in PALMS[1].looks(9):
        evidence.add(look)
        verdict = evidence.verdict()
        assert isinstance(verdict, More)
        seen.append(verdict.certainty)
    assert all(0 <= value <= 1 for value in seen)
    assert seen[0] < seen[-1]


def test_a_wolf_is_brought_down() -> None:
    """A probe that resembles everybody, in a gallery whose people share something."""
    random = np.random.default_rng(4)
    shared = unit(random.normal(size=DIMENSION))
    gallery = Gallery(DIMENSION, b"s" * 32)
    for number in range(150):
        rows = [unit(0.75 * shared + 0.66 * unit(random.normal(size=DIMENSION))) for _ in range(2)]
        gallery.add(f"p-{number}", Side.RIGHT, [Signatures(rows[0], rows[1])])
    wolf = [Look(Side.RIGHT, 0.9, Signatures(shared, shared))] * 30
    lenient = dataclasses.replace(RULES, far=1e-2, margin_log10=0.0, nobody_odds=1e-9)
    assert not isinstance(decide(gallery, wolf, lenient), Sure)


def test_clear_forgets_every_probe() -> None:
    evidence = Evidence(GALLERY, calibrated(), RULES)
    evidence.add(PALMS[1].looks(1)[0])
    held = evidence._seen[0].vectors
    evidence.clear()
    assert not held.any()
    assert not evidence._seen
    assert not evidence._candidates
    assert repr(PALMS[1].looks(1)[0]).count("array") == 0


def test_far_is_what_it_says() -> None:
    """200 strangers at far = 5 %, four probes each, decided after every probe, against ten people: no more than 5 % get in.

    The other rules are off, so that the ratio stands alone.
    """
    rules = Rules(far=0.05, single_light_far=0.05, probes_min=1, single_light_probes_min=1, margin_log10=0.0, nobody_odds=1e-300)
    gallery = gallery_of(PALMS[:10], "mixed")
    accepted = sum(isinstance(decide(gallery, Palm(seed).looks(4, "mixed"), rules), Sure) for seed in range(5000, 5200))
    assert accepted <= 0.05 * 200
