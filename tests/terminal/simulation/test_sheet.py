from __future__ import annotations

from pathlib import Path

import cv2
from typer import Typer
from typer.testing import CliRunner

from terminal.simulation.sheet import VIEW_SIZE, main

app = Typer()
app.command()(main)


def test_a_sheet_has_people_by_views_by_lights(tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    assert CliRunner().invoke(app, [str(out), "--people", "1", "--views", "4"]).exit_code == 0
    picture = cv2.imread(str(out), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    assert picture.shape == (2 * VIEW_SIZE[0], 4 * VIEW_SIZE[1])
    assert picture.std() > 10


def test_a_place_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    said = CliRunner().invoke(app, [str(tmp_path / "none" / "sheet.png"), "--people", "1", "--views", "1"])
    assert said.exit_code == 1
    assert "can't be written" in said.output
