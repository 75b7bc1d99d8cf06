"""The encoder gives unit signatures, and says in a sentence what is wrong with a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from terminal.palm.encoder import ENCODER_PALMS_MAX, Encoder, encoder_path
from terminal.palm.finder_network import ModelError


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder()


def palms(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(30, 220, (count, 128, 128), dtype=np.uint8)


def network(path: Path, name: str = "palm", output: str = "signature", version: str = "palm-test") -> Path:
    """A graph that flattens nothing but the mean of each row: small, valid, and a palm encoder in name."""
    nodes = [helper.make_node("ReduceMean", [name], [output], axes=[1, 2], keepdims=0)]
    taken = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1, 128, 128])
    given = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", 128])
    graph = helper.make_graph(nodes, "test", [taken], [given])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if version:
        helper.set_model_props(model, {"version": version})
    onnx.save(model, str(path))
    return path


def test_signatures_are_unit_vectors_and_repeatable(encoder: Encoder) -> None:
    pictures = palms(3)
    signatures = encoder.encode(pictures)
    assert signatures.shape == (3, encoder.dimension)
    assert signatures.dtype == np.float32
    assert np.allclose(np.linalg.norm(signatures, axis=1), 1.0, atol=1e-4)
    assert np.array_equal(signatures, encoder.encode(pictures))
    assert encoder.version.startswith("palm-")


def test_no_palms_give_no_signatures(encoder: Encoder) -> None:
    assert encoder.encode(np.empty((0, 128, 128), np.uint8)).shape == (0, encoder.dimension)


@pytest.mark.parametrize("shape", [(128, 128), (1, 64, 64), (1, 1, 128, 128)])
def test_other_shapes_are_refused(encoder: Encoder, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="canonical palms"):
        encoder.encode(np.zeros(shape, np.uint8))


def test_other_types_and_too_many_are_refused(encoder: Encoder) -> None:
    with pytest.raises(ValueError, match="uint8"):
        encoder.encode(np.zeros((1, 128, 128), np.float32))
    with pytest.raises(ValueError, match="at most"):
        encoder.encode(np.zeros((ENCODER_PALMS_MAX + 1, 128, 128), np.uint8))


def test_a_missing_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"missing.*palm_model"):
        Encoder(tmp_path / "palm.onnx")


def test_a_model_that_was_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "palm.onnx"
    path.write_bytes(encoder_path(None).read_bytes()[:10_000])
    with pytest.raises(ModelError, match="copy it again"):
        Encoder(path)


def test_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no palm encoder"):
        Encoder(network(tmp_path / "other.onnx", name="image"))
    with pytest.raises(ModelError, match="no palm encoder"):
        Encoder(network(tmp_path / "other2.onnx", output="scores"))


def test_a_model_without_a_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="version"):
        Encoder(network(tmp_path / "palm.onnx", version=""))


def test_any_network_that_keeps_the_contract_is_taken(tmp_path: Path) -> None:
    assert Encoder(network(tmp_path / "palm.onnx"), threads=2).dimension == 128
