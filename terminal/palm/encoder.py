"""`palm.onnx`: from canonical palms to signatures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from terminal.palm.finder_network import ModelError
from terminal.palm.types import ROI_SIDE_PX

ENCODER_DIMENSION_MAX = 512
ENCODER_PALMS_MAX = 64
"""Most palms of one call: bounds the memory it takes."""

_INPUT, _OUTPUT = "palm", "signature"


def encoder_path(given: Path | None) -> Path:
    """Where palm.onnx lies: as configured, or the one that came with the program."""
    return given if given is not None else Path(__file__).resolve().parents[2] / "models" / "palm.onnx"


class Encoder:
    """The signature network, warm. One `encode` at a time from one thread; several encoders may run side by side.

    model: an .onnx file, None for the one that came with the program; threads: cores that one call may use, 1 or more.
    Raises ModelError with a sentence for a technician where the file is missing or is something else.
    """

    def __init__(self, model: Path | None = None, threads: int = 1) -> None:
        path = encoder_path(model)
        if not path.is_file():
            raise ModelError(f"{path} is missing: reinstall the terminal, or set palm_model to where palm.onnx lies")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = max(1, threads)
        options.inter_op_num_threads = 1
        # Spinning threads burnt 184 % of a processor where waiting ones took 0.4 %.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelError(f"{path} can't be loaded ({type(error).__name__}): copy it again, it may be cut short") from None
        self.dimension = self._checked(path)
        self.version = str(self._session.get_modelmeta().custom_metadata_map.get("version", ""))
        if not self.version:
            raise ModelError(
                f"{path} doesn't say its version: signatures of unknown models can't be compared; use a released palm.onnx"
            )
        self.encode(np.zeros((2, ROI_SIDE_PX, ROI_SIDE_PX), np.uint8))  # the first run allocates: better now than with a shopper

    def _checked(self, path: Path) -> int:
        """The signature's length, after the contract is seen to hold."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        wanted = [1, ROI_SIDE_PX, ROI_SIDE_PX]
        fits = (
            len(inputs) == len(outputs) == 1
            and (inputs[0].name, inputs[0].type, outputs[0].name) == (_INPUT, "tensor(float)", _OUTPUT)
            and list(inputs[0].shape[1:]) == wanted
            and len(outputs[0].shape) == 2
            and isinstance(outputs[0].shape[1], int)
            and 0 < outputs[0].shape[1] <= ENCODER_DIMENSION_MAX
        )
        if not fits:
            shapes = ", ".join(f"{part.name} {part.shape}" for part in (*inputs, *outputs))
            raise ModelError(f"{path} is no palm encoder (it has {shapes}): palm_model must name a palm.onnx")
        return int(outputs[0].shape[1])

    def encode(self, palms: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Canonical palms uint8 [N, 128, 128] to signatures float32 [N, D] with L2 norm 1. Raises ValueError for other shapes or N > 64."""
        if palms.ndim != 3 or palms.shape[1:] != (ROI_SIDE_PX, ROI_SIDE_PX) or palms.dtype != np.uint8:
            raise ValueError(f"canonical palms are uint8 [N, {ROI_SIDE_PX}, {ROI_SIDE_PX}], not {palms.dtype} {palms.shape}")
        if len(palms) > ENCODER_PALMS_MAX:
            raise ValueError(f"{len(palms)} palms in one call: {ENCODER_PALMS_MAX} at most")
        if len(palms) == 0:
            return np.empty((0, self.dimension), np.float32)
        scaled = np.multiply(palms[:, None], np.float32(1.0 / 255.0), dtype=np.float32)
        signatures: NDArray[np.float32] = self._session.run([_OUTPUT], {_INPUT: scaled})[0]
        return signatures
