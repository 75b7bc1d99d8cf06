"""`hand.onnx` as the finder uses it: its shapes, and the session that runs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

F32 = NDArray[np.float32]

POINTS = 4
"""Valleys index/middle, middle/ring, ring/little, and the wrist."""

COARSE_LONG_SIDE_PX = 160
COARSE_MULTIPLE_PX = 16
"""A whole frame is made this long, and filled up at its edges to multiples of this."""

CELL_PX = 8
"""Side of a cell of the coarse map in pixels of the small frame."""

OFFSET_UNIT_PX = 32.0
COARSE_CHANNELS = 11
"""Logits of a left palm, a right palm and another hand; x and y offsets to the valleys (fingers up: from the right) and the wrist."""


class ModelError(Exception):
    """A model can't be used; the sentence says what to do next."""


def model_path(given: Path | None) -> Path:
    """Where hand.onnx lies: as configured, or the one that came with the program."""
    return given if given is not None else Path(__file__).resolve().parents[2] / "models" / "hand.onnx"


class HandNetwork:
    """The three networks in their one file. Used by one thread at a time."""

    def __init__(self, path: Path, threads: int) -> None:
        if not path.is_file():
            raise ModelError(f"The hand finder's model {path} is not there. Set palm.hand_model, or run: make models")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Spinning threads would eat a core while no hand is there.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as wrong:
            raise ModelError(
                f"The hand finder's model {path} can't be loaded: {wrong}. Copy it again, or run: make models"
            ) from wrong
        inputs = {given.name for given in self._session.get_inputs()}
        if inputs != {"image", "close", "patch"}:
            raise ModelError(f"{path} is not a hand finder: its inputs are {sorted(inputs)}. Set palm.hand_model to a hand.onnx.")
        facts = self._session.get_modelmeta().custom_metadata_map
        self.version: str = facts.get("version", "hand-unknown")
        no, yes = np.array(False), np.array(True)
        self._whole = {"close": no, "patch": no}
        self._piece = {"close": yes, "patch": no}
        self._patch = {"close": yes, "patch": yes}

    def whole(self, small: NDArray[np.uint8]) -> F32:
        """The coarse map [COARSE_CHANNELS, H/8, W/8] of uint8 [H, W], both multiples of COARSE_MULTIPLE_PX."""
        return self._run(small[None], self._whole)[0]

    def piece(self, piece: NDArray[np.uint8]) -> tuple[F32, F32]:
        """Points [POINTS, 2] in pixels of the piece, and what is said of them [POINTS + 3] (models/hand_network.py, `Fine`)."""
        points, said = self._run(piece[None], self._piece)
        return points[:, :, 0], said

    def patches(self, patches: NDArray[np.uint8]) -> tuple[F32, F32]:
        """Points [3, 2] in pixels of each patch, and the logs of their expected errors in the same pixels [3]."""
        points, said = self._run(patches, self._patch)
        return points[:, :, 0], said

    def _run(self, images: NDArray[np.uint8], which: dict[str, NDArray[np.bool_]]) -> tuple[F32, F32]:
        fed = np.multiply(images[:, None], np.float32(1 / 255), dtype=np.float32)
        points, said = self._session.run(None, {"image": fed, **which})
        return points, said
