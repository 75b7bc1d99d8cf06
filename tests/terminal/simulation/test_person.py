from __future__ import annotations

import numpy as np
import pytest

from terminal.palm.types import Side
from terminal.simulation.people import PEOPLE, name_of, seed_of
from terminal.simulation.person import Person


def test_a_seed_is_a_person_for_ever() -> None:
    assert Person.from_seed(101) == Person.from_seed(101)
    assert Person.from_seed(101) != Person.from_seed(102)


def test_both_hands_share_the_shape_and_not_the_skin() -> None:
    people = [Person.from_seed(seed) for seed in range(200)]
    skins = {person.skin_seed(side) for person in people for side in Side}
    assert len(skins) == 400


def test_people_differ_as_people_do() -> None:
    people = [Person.from_seed(seed) for seed in range(400)]
    spans = np.array([person.span_mm for person in people])
    assert 40 < np.median(spans) < 44
    assert 30 <= spans.min() < 38
    assert spans.max() <= 50
    assert any(person.age_years < 15 for person in people)
    assert any(person.age_years > 75 for person in people)
    longest = [int(np.argmax([finger.length for finger in person.fingers])) for person in people]
    assert np.bincount(longest, minlength=4)[1] > 300, "the middle finger is the longest of nearly everybody"
    assert not any(person.fingers[3].length > person.fingers[1].length for person in people)


def test_a_negative_seed_is_nobody() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        Person.from_seed(-1)


def test_the_demonstrations_people_have_names() -> None:
    assert {name: seed_of(name) for name in PEOPLE} == {"ada": 101, "ben": 102, "chloe": 103, "stranger": 904}
    assert name_of(102) == "ben"
    assert name_of(17) == "person 17"
    assert seed_of(17) == 17


@pytest.mark.parametrize("who", ["dora", "", -3, True])
def test_an_unknown_person_is_named_in_the_error(who: str | int) -> None:
    with pytest.raises(ValueError, match="is no person"):
        seed_of(who)
