"""The card speaks of the model that lies beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from terminal.palm.finder import HandFinder

MODELS = Path(__file__).resolve().parents[2] / "models"


def test_the_card_names_this_very_file_and_its_version() -> None:
    card = (MODELS / "hand.md").read_text(encoding="utf-8")
    assert hashlib.sha256((MODELS / "hand.onnx").read_bytes()).hexdigest() in card
    assert HandFinder(None, threads=1).model_version in card
