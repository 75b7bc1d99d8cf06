"""Write palm.onnx and palm.int8.onnx from a checkpoint: `python -m models.palm_export --version palm-0.4.0`."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import onnxruntime
import torch
import typer
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from models.palm_generator import Palm, Regime, Studio
from models.palm_layers import NETWORK_SIDE_PX
from models.palm_network import PalmNetwork
from models.palm_people import crowd
from models.palm_train import TRAIN_RUN

EXPORT_FOLDER = Path(__file__).parent
EXPORT_OPSET = 18
EXPORT_LICENCE = "Apache-2.0"
EXPORT_TOLERANCE = 1e-3
"""Largest difference of a signature's component between torch and ONNX Runtime."""

_CALIBRATION_SEED = 3_000_000
_CALIBRATION_PALMS = 48


def network_of(checkpoint: Path) -> PalmNetwork:
    """The averaged weights of a checkpoint, ready to run."""
    network = PalmNetwork()
    network.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["average"])
    network.eval()
    return network


def write(network: PalmNetwork, path: Path, version: str, made_by: str) -> None:
    """Export with a dynamic number of palms, check it against torch, and write it whole. Raises RuntimeError where they differ."""
    example = torch.rand(2, 1, NETWORK_SIDE_PX, NETWORK_SIDE_PX, generator=torch.Generator().manual_seed(1))
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "palm.onnx"
        torch.onnx.export(
            network,
            (example,),
            str(part),
            input_names=["palm"],
            output_names=["signature"],
            opset_version=EXPORT_OPSET,
            dynamic_shapes={"palm": {0: torch.export.Dim("N", min=1, max=4096)}},
            dynamo=True,
            external_data=False,
        )
        model = onnx.load(str(part))
    _label(model, version, made_by)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        wanted = network(example).numpy()
    difference = float(np.abs(session.run(None, {"palm": example.numpy()})[0] - wanted).max())
    if difference > EXPORT_TOLERANCE:
        raise RuntimeError(f"{path} differs from torch by {difference:.4f}")


def _label(model: Any, version: str, made_by: str) -> None:
    """Metadata, and nothing of this machine: exporters leave stack traces in the graph."""
    del model.metadata_props[:]
    model.producer_name, model.doc_string = "palm-till", ""
    for node in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        node.doc_string = ""
        if hasattr(node, "metadata_props"):
            del node.metadata_props[:]
    del model.graph.metadata_props[:]
    for key, value in (("version", version), ("made_by", made_by), ("licence", EXPORT_LICENCE)):
        model.metadata_props.add(key=key, value=value)


class _Palms(CalibrationDataReader):  # type: ignore[misc]
    """Simulated palms, one at a time, for the ranges of the int8 version."""

    def __init__(self) -> None:
        people = crowd(_CALIBRATION_SEED, _CALIBRATION_PALMS // 2)
        palms = [Palm(i % len(people), i % len(people), list(Regime)[i % 3]) for i in range(_CALIBRATION_PALMS)]
        studio = Studio(people, palms, 5)
        self._rest = iter([studio.view(v, i).astype(np.float32)[None, None] / 255 for i in range(len(palms)) for v in range(3)])

    def get_next(self) -> dict[str, Any] | None:
        """The next palm, or None after the last."""
        palm = next(self._rest, None)
        return None if palm is None else {"palm": palm}


def quantise(source: Path, target: Path, version: str, made_by: str) -> None:
    """Static int8 of the trunk and the head; what comes before stays float: it costs little, and an aligner has to be exact."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        nodes = onnx.load(str(prepared)).graph.node
        put_right = [node.op_type for node in nodes].index("GridSample")
        learned = [node.name for node in nodes[put_right:] if node.op_type in {"Conv", "Gemm", "MatMul"}][_STEM_CONVOLUTIONS:]
        quantize_static(
            str(prepared),
            str(target),
            _Palms(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=learned,
            calibrate_method=CalibrationMethod.MinMax,
        )
    model = onnx.load(str(target))
    _label(model, version, made_by)
    onnx.save(model, str(target))


_STEM_CONVOLUTIONS = 3


def main(
    version: Annotated[str, typer.Option(help="goes into the metadata and on the wire with every signature")],
    checkpoint: Annotated[Path, typer.Option()] = TRAIN_RUN / "encoder.pt",
    folder: Annotated[Path, typer.Option(help="where palm.onnx and palm.int8.onnx are written")] = EXPORT_FOLDER,
) -> None:
    """Export float and int8, and print their hashes."""
    kept = torch.load(checkpoint, map_location="cpu", weights_only=True)
    made_by = f"models.palm_train, encoder step {kept['step']} of {kept['recipe']['steps']}, seed {kept['recipe']['seed']}"
    write(network_of(checkpoint), folder / "palm.onnx", version, made_by)
    quantise(folder / "palm.onnx", folder / "palm.int8.onnx", version + "-int8", made_by)
    for name in ("palm.onnx", "palm.int8.onnx"):
        data = (folder / name).read_bytes()
        typer.echo(f"{name}: {len(data) / 1e6:.2f} MB, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    typer.run(main)
