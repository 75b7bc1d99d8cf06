"""Words for the simulated reader's socket, and what is said when it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from terminal.simulation.people import PEOPLE
from terminal.simulation.stage.hand import Hand, HandError, words
from terminal.simulation.stage.play import CHOICES


def test_every_choice_is_something_that_the_reader_knows() -> None:
    for choice in CHOICES:
        said = words(choice.id)
        assert said is None or said == "two_hands" or (isinstance(said, dict) and said["person"] in PEOPLE)
    assert words("ada", leaves_after_s=0.5) == {"person": "ada", "side": "right", "leaves_after_s": 0.5}


async def test_a_reader_that_is_not_there(tmp_path: Path) -> None:
    hand = Hand(tmp_path / "nothing.sock")
    with pytest.raises(HandError, match="does not answer"):
        await hand.show("ada")
    with pytest.raises(HandError, match="does not answer"):
        await hand.reached(deadline_s=0.0)
