"""The Unix socket through which a person, a page or a script says which hand is shown. One JSON object a line, one line back.

    {"show": {"person": "ada", "side": "right", "seed": 3, "conditions": {"wet": 0.5}}}    also: leaves_after_s, corrects, comes_in
    {"show": null}    {"show": "two_hands"}    {"status": {}}    {"picture": {"light": "parallel"}}

Answers are {"ok": true, ...} or {"error": "a sentence"}. The picture is a base64 PNG of the simulated hand: it is nobody's.
"""

from __future__ import annotations

import base64
import json
import logging
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import BoundedSemaphore, Lock, Thread

import cv2
import numpy as np

from terminal.palm.types import Side
from terminal.reader.frame import Light, ReaderError
from terminal.simulation.conditions import Conditions
from terminal.simulation.people import PEOPLE
from terminal.simulation.scene import render_scene
from terminal.simulation.show import Stage

log = logging.getLogger(__name__)

LINE_MAX_BYTES = 16_384
CONNECTIONS_MAX = 8
IDLE_LIMIT_S = 600.0
"""A connection that says nothing for this long is closed."""

ANSWER_LIMIT_S = 30.0
STOP_LIMIT_S = 3.0
"""For a command that is being done when the reader closes; drawing a hand takes half a second."""

PICTURE_WIDTH_PX = 320
_SHOW_KEYS = {"person", "side", "seed", "conditions", "leaves_after_s", "corrects", "comes_in"}


class Wrong(ValueError):
    """A command that can't be done; the sentence says what would be right."""


def _number(words: Mapping[str, object], name: str, low: float, high: float) -> float | None:
    value = words.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise Wrong(f"{name} is a number from {low:g} to {high:g}, not {value!r}.")
    return float(value)


def _switch(words: Mapping[str, object], name: str) -> bool | None:
    value = words.get(name)
    if value is not None and not isinstance(value, bool):
        raise Wrong(f"{name} is true or false, not {value!r}.")
    return value


def _show(stage: Stage, words: object) -> dict[str, object]:
    if words is None:
        stage.show_nothing()
    elif words == "two_hands":
        stage.show_two_hands()
    elif isinstance(words, dict):
        if unknown := sorted(set(words) - _SHOW_KEYS):
            raise Wrong(f"show does not know {', '.join(map(repr, unknown))}. Known: {', '.join(sorted(_SHOW_KEYS))}.")
        person = words.get("person", "ada")
        if isinstance(person, bool) or not isinstance(person, int | str):
            raise Wrong(f"person is a name or a seed, not {person!r}.")
        side = words.get("side", "right")
        if side not in ("left", "right"):
            raise Wrong(f"side is left or right, not {side!r}.")
        seed = _number(words, "seed", 0, 2**31)
        asked = words.get("conditions")
        if asked is not None and not isinstance(asked, dict):
            raise Wrong(f"conditions is an object, not {asked!r}.")
        number = int(seed) if seed is not None else None
        conditions = Conditions.from_words(asked, stage.ordinary(number or 0)) if asked else None
        stage.show(
            person,
            Side(side),
            number,
            conditions,
            comes_in=_switch(words, "comes_in") is not False,
            corrects=_switch(words, "corrects"),
            leaves_after_s=_number(words, "leaves_after_s", 0, 3600),
        )
    else:
        raise Wrong(f'show takes an object, null or "two_hands", not {words!r}.')
    return stage.status()


def _status(stage: Stage, _: object) -> dict[str, object]:
    return {**stage.status(), "now_s": time.monotonic(), "people": dict(PEOPLE)}


def _picture(stage: Stage, words: object) -> dict[str, object]:
    light = words.get("light", "parallel") if isinstance(words, dict) else "parallel"
    try:
        shown = Light(light)
    except ValueError:
        raise Wrong(f"light is one of {', '.join(each.value for each in Light)}, not {light!r}.") from None
    now = time.monotonic()
    # At the frames' own size, so that the hand need not be drawn a second time.
    pixels, _ = render_scene(stage.actors(now), shown, stage.conditions(), np.random.default_rng(), stage.size)
    height = round(PICTURE_WIDTH_PX * stage.size[0] / stage.size[1])
    small = cv2.resize(pixels, (PICTURE_WIDTH_PX, height), interpolation=cv2.INTER_AREA)
    return {"png": base64.b64encode(cv2.imencode(".png", small)[1].tobytes()).decode("ascii")}


COMMANDS: dict[str, Callable[[Stage, object], dict[str, object]]] = {"show": _show, "status": _status, "picture": _picture}


def answer(stage: Stage, line: bytes) -> dict[str, object]:
    """Do what one line asks for. Never raises for what a person may write."""
    try:
        words = json.loads(line)
        if not isinstance(words, dict) or len(words) != 1 or next(iter(words)) not in COMMANDS:
            raise Wrong(f"a command is an object with one key: {', '.join(COMMANDS)}.")
        name, argument = next(iter(words.items()))
        return {"ok": True, **COMMANDS[name](stage, argument)}
    except (ValueError, RecursionError) as error:  # JSON and Unicode errors are ValueErrors
        return {"error": str(error) or type(error).__name__}


class ControlServer:
    """Listens on a Unix socket, a short-lived thread for each connection, CONNECTIONS_MAX at most."""

    def __init__(self, path: Path, stage: Stage) -> None:
        self._path = path
        self._stage = stage
        self._socket: socket.socket | None = None
        self._free = BoundedSemaphore(CONNECTIONS_MAX)
        self._thread: Thread | None = None
        self._answering = Lock()

    def start(self) -> None:
        """Listen. Raises ReaderError when the socket can't be made or somebody else listens on it."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _clear(self._path)
            listener.bind(str(self._path))
            self._path.chmod(0o600)
            listener.listen(CONNECTIONS_MAX)
        except OSError as error:
            listener.close()
            raise ReaderError(
                f"{self._path}: no control socket can be made there ({error.strerror or error}). Choose another."
            ) from None
        except ReaderError:
            listener.close()
            raise
        self._socket = listener
        self._thread = Thread(target=self._accept, args=(listener,), name="simulation-control", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and take the socket away; connections that are open end by themselves."""
        if self._socket is not None:
            listener, self._socket = self._socket, None
            # A blocked accept is woken by shutdown, not by close.
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            self._path.unlink(missing_ok=True)
        if self._thread is not None:
            self._thread.join(1.0)
            self._thread = None
        # A thread that is inside OpenCV when the interpreter ends takes the whole program down with SIGABRT: let it finish.
        if self._answering.acquire(timeout=STOP_LIMIT_S):
            self._answering.release()

    def _accept(self, listener: socket.socket) -> None:
        while self._socket is listener:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            if not self._free.acquire(blocking=False):
                connection.close()
                log.warning("simulation control: more than %d connections, one was closed", CONNECTIONS_MAX)
                continue
            Thread(target=self._serve, args=(connection,), name="simulation-control-line", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(IDLE_LIMIT_S)
            with connection, connection.makefile("rb") as lines:
                while line := lines.readline(LINE_MAX_BYTES + 1):
                    if len(line) > LINE_MAX_BYTES:
                        said: dict[str, object] = {"error": f"a line has {LINE_MAX_BYTES} bytes at most."}
                    else:
                        with self._answering:
                            if self._socket is None:
                                return
                            said = answer(self._stage, line)
                    connection.sendall(json.dumps(said).encode() + b"\n")
                    if len(line) > LINE_MAX_BYTES:
                        return
        except OSError as error:
            log.debug("simulation control: connection ended: %s", error)
        finally:
            self._free.release()


def _clear(path: Path) -> None:
    """Take away the socket of a reader that died; one that lives is left alone, with ReaderError."""
    if not path.is_socket():
        return
    if _answers(path):
        raise ReaderError(f"{path}: another simulated reader listens there. Stop it, or choose another control_socket.")
    path.unlink()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def ask(path: Path, command: dict[str, object]) -> dict[str, object]:
    """Send one command and wait for its answer, ANSWER_LIMIT_S at most. Raises OSError when nobody listens or nobody answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(ANSWER_LIMIT_S)
        line.connect(str(path))
        line.sendall(json.dumps(command).encode() + b"\n")
        with line.makefile("rb") as answers:
            said = json.loads(answers.readline() or b"null")
    if not isinstance(said, dict):
        raise ConnectionError(f"{path}: the simulated reader hung up without an answer.")
    return said
