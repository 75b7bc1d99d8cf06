from __future__ import annotations

import base64
import json
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal.reader.frame import ReaderError
from terminal.simulation.control import COMMANDS, CONNECTIONS_MAX, LINE_MAX_BYTES, ControlServer, answer, ask
from terminal.simulation.show import Stage

SIZE = (100, 160)


@pytest.fixture
def stage() -> Stage:
    return Stage(1, SIZE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.sock"


@pytest.fixture
def server(path: Path, stage: Stage) -> Iterator[ControlServer]:
    made = ControlServer(path, stage)
    made.start()
    yield made
    made.stop()


def say(stage: Stage, words: object) -> dict[str, object]:
    return answer(stage, json.dumps(words).encode())


def test_a_hand_is_shown_and_taken_away(stage: Stage) -> None:
    shown = say(stage, {"show": {"person": "ben", "side": "left", "seed": 3, "conditions": {"wet": 0.5}, "leaves_after_s": 9}})
    assert shown == {
        "ok": True,
        "showing": [{"person": "ben", "seed": 102, "side": "left"}],
        "subject": "palm",
        "resting_since_s": None,
    }
    assert stage.conditions().wet == 0.5
    assert say(stage, {"show": "two_hands"})["ok"]
    assert len(stage.status()["showing"]) == 2  # type: ignore[arg-type]
    assert say(stage, {"show": None})["showing"] == []


def test_status_names_the_people_and_the_time(stage: Stage) -> None:
    said = say(stage, {"status": {}})
    assert said["people"] == {"ada": 101, "ben": 102, "chloe": 103, "stranger": 904}
    assert isinstance(said["now_s"], float)


@pytest.mark.parametrize("light", ["parallel", "crossed", "dark"])
def test_the_picture_is_what_the_lens_sees(stage: Stage, light: str) -> None:
    stage.show("ada", seed=1, comes_in=False)
    said = say(stage, {"picture": {"light": light}})
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(str(said["png"])), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert pixels is not None
    assert pixels.shape == (200, 320)
    assert bool(pixels.max() > 60) is (light != "dark")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"show": {"persn": 1}}, "'persn'"),
        ({"show": {"person": "dora"}}, "dora"),
        ({"show": {"person": -4}}, "-4"),
        ({"show": {"person": True}}, "name or a seed"),
        ({"show": {"side": "up"}}, "left or right"),
        ({"show": {"side": []}}, "left or right"),
        ({"show": {"seed": "x"}}, "seed is a number"),
        ({"show": {"leaves_after_s": -1}}, "leaves_after_s"),
        ({"show": {"corrects": 1}}, "true or false"),
        ({"show": {"conditions": 3}}, "conditions is an object"),
        ({"show": {"conditions": {"wte": 3}}}, "'wte' is not known"),
        ({"show": 5}, "two_hands"),
        ({"picture": {"light": "blue"}}, "light is one of"),
        ({"picture": {"light": []}}, "light is one of"),
        ({"hide": {}}, "one key"),
        ({"show": None, "status": {}}, "one key"),
        ([], "one key"),
    ],
)
def test_wrong_commands_are_answered_in_words_and_change_nothing(stage: Stage, words: object, says: str) -> None:
    stage.show("ada", seed=1)
    said = say(stage, words)
    assert set(said) == {"error"}
    assert says in str(said["error"])
    assert stage.status()["showing"] == [{"person": "ada", "seed": 101, "side": "right"}]


_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_idle = Stage(1, SIZE)


@given(
    st.binary(max_size=200)
    | st.dictionaries(st.sampled_from([*COMMANDS, "x"]), _values, max_size=2).map(lambda w: json.dumps(w).encode())
)
def test_any_line_gets_an_answer(line: bytes) -> None:
    said = answer(_idle, line)
    assert ("ok" in said) != ("error" in said)
    assert json.dumps(said)


def test_deep_nesting_is_an_error_and_not_a_crash(stage: Stage) -> None:
    assert "error" in answer(stage, b"[" * 15_000)


@pytest.mark.usefixtures("server")
def test_the_socket_answers_line_by_line_and_is_ours_alone(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ask(path, {"show": {"person": "chloe", "seed": 1}})["ok"]
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(5)
        line.connect(str(path))
        line.sendall(b'{"status": {}}\nnonsense\n{"status": {}}\n')
        lines = line.makefile("rb")
        said = [json.loads(lines.readline()) for _ in range(3)]
    assert [sorted(s)[0] for s in said] == ["now_s", "error", "now_s"]


@pytest.mark.usefixtures("server")
def test_a_line_without_end_is_refused(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(5)
        line.connect(str(path))
        line.sendall(b"x" * (LINE_MAX_BYTES + 1))
        answers = line.makefile("rb")
        assert "bytes at most" in json.loads(answers.readline())["error"]
        assert answers.readline() == b""


@pytest.mark.usefixtures("server")
def test_too_many_connections_are_turned_away_and_the_others_served(path: Path) -> None:
    lines = [socket.socket(socket.AF_UNIX) for _ in range(CONNECTIONS_MAX + 1)]
    try:
        for line in lines:
            line.settimeout(5)
            line.connect(str(path))
        for line in lines[:-1]:
            line.sendall(b'{"status": {}}\n')
            assert b"ok" in line.recv(4096)
        assert lines[-1].recv(10) == b""
    finally:
        for line in lines:
            line.close()


def test_a_dead_readers_socket_is_replaced_and_a_living_one_respected(path: Path, stage: Stage) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    first = ControlServer(path, stage)
    first.start()
    try:
        with pytest.raises(ReaderError, match="another simulated reader"):
            ControlServer(path, stage).start()
        assert ask(path, {"status": {}})["ok"]
    finally:
        first.stop()
    assert not path.exists()
    with pytest.raises(OSError, match="No such file"):
        ask(path, {"status": {}})


def test_a_folder_that_is_not_there_is_said_in_words(tmp_path: Path, stage: Stage) -> None:
    with pytest.raises(ReaderError, match="no control socket can be made"):
        ControlServer(tmp_path / "none" / "c.sock", stage).start()


def test_a_file_that_is_no_socket_is_left_alone(path: Path, stage: Stage) -> None:
    path.write_text("precious")
    with pytest.raises(ReaderError, match="no control socket can be made"):
        ControlServer(path, stage).start()
    assert path.read_text() == "precious"
