from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer

from models import inspect
from terminal.palm.types import ROI_SIDE_PX, Side
from terminal.reader.frame import Light
from terminal.simulation.conditions import Conditions
from terminal.simulation.person import Person
from terminal.simulation.scene import Pose, render


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    seen = render(Person.from_seed(20_001), Side.RIGHT, Pose(), Light.PARALLEL, Conditions(), np.random.default_rng(1), (240, 384))
    for name, picture in {
        "set/ada/1.png": seen.pixels,
        "set/ada/2.PNG": np.rot90(seen.pixels),
        "set/nobody/1.png": np.zeros((100, 100), np.uint8),
        "tiny.png": np.zeros((5, 5), np.uint8),
    }.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    (tmp_path / "in" / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "in" / "notes.txt").write_text("not looked at")
    return tmp_path / "in"


def test_everything_is_written_and_the_folders_are_kept(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    inspect.main(folder, out)
    lines = {line["picture"]: line for line in map(json.loads, (out / "found.jsonl").read_text().splitlines())}
    assert set(lines) == {"broken.jpg", "set/ada/1.png", "set/ada/2.PNG", "set/nobody/1.png", "tiny.png"}
    for name in ("set/ada/1.png", "set/ada/2.PNG"):
        assert lines[name]["found"]
        assert lines[name]["side"] == "right"
        assert len(lines[name]["valleys"]) == 3
        palm = cv2.imread(str((out / "palms" / name).with_suffix(".png")), cv2.IMREAD_UNCHANGED)
        assert palm is not None
        assert palm.shape == (ROI_SIDE_PX, ROI_SIDE_PX)
    upright, turned = (np.asarray(cv2.imread(str(out / f"palms/set/ada/{k}.png"), 0), np.float64) for k in (1, 2))
    assert np.corrcoef(upright.ravel(), turned.ravel())[0, 1] > 0.9
    assert lines["set/nobody/1.png"]["why"] == "show_hand"
    assert lines["broken.jpg"]["why"] == "unreadable"
    assert "too small" in lines["tiny.png"]["why"] or "can't be searched" in lines["tiny.png"]["why"]
    assert (out / "overlays/set/nobody/1.png").is_file()
    assert not (out / "palms/set/nobody").exists()
    assert "2 of 5 found" in capsys.readouterr().out


def test_pictures_of_hands_are_never_written_into_the_repository(folder: Path) -> None:
    for out in (inspect.REPOSITORY / "palms", inspect.REPOSITORY / "models" / "runs" / "x", inspect.REPOSITORY):
        with pytest.raises(typer.BadParameter, match="within the repository"):
            inspect.main(folder, out)


def test_a_missing_or_empty_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="no folder"):
        inspect.main(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(typer.BadParameter, match="no pictures"):
        inspect.main(tmp_path, tmp_path / "out")
