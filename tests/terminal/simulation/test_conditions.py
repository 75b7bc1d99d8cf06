from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal.simulation.conditions import Conditions, Subject


def test_words_change_what_they_name_and_nothing_else() -> None:
    usual = Conditions(seed=4, room=0.1)
    made = Conditions.from_words({"wet": 0.5, "sleeve": "bright", "subject": "back", "rings": 2, "plaster": True}, usual)
    assert (made.wet, made.sleeve, made.subject, made.rings, made.plaster) == (0.5, "bright", Subject.BACK, 2, True)
    assert (made.seed, made.room) == (4, 0.1)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"wte": 1}, "'wte' is not known"),
        ({"wet": "much"}, "wet is a number"),
        ({"wet": True}, "wet is float"),
        ({"plaster": 1}, "plaster is bool"),
        ({"sleeve": "long"}, "none, dark, bright or pattern"),
        ({"subject": "foot"}, "foot"),
        ({"rings": 1e12}, "rings is a number"),
        ({"rings": float("nan")}, "rings is a number"),
    ],
)
def test_a_wrong_word_is_refused_by_name(words: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Conditions.from_words(words)


@given(
    st.dictionaries(
        st.sampled_from([*Conditions.__dataclass_fields__, "x"]),
        st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
    )
)
def test_any_words_make_conditions_or_a_sentence(words: dict[str, object]) -> None:
    try:
        made = Conditions.from_words(words)
    except ValueError as error:
        said = str(error)
    else:
        said = repr(made)
    assert said


def test_drawn_conditions_repeat_and_calm_ones_are_calm() -> None:
    assert Conditions.draw(np.random.default_rng(3)) == Conditions.draw(np.random.default_rng(3))
    calm = [Conditions.draw(np.random.default_rng(seed), hard=0) for seed in range(50)]
    assert all((c.rings, c.plaster, c.dirt, c.wet, c.sun, c.window, c.ambient) == (0, False, 0, 0, 0, 0, 0) for c in calm)
    rough = [Conditions.draw(np.random.default_rng(seed)) for seed in range(300)]
    for unusual in ("rings", "plaster", "dirt", "wet", "sun", "window", "ambient"):
        assert any(getattr(c, unusual) for c in rough), unusual
    json.dumps([c.seed for c in rough])
