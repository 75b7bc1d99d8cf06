"""The shipped palm.onnx: its contract, its size, its blindness to light, and 200 people whom it has never seen."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

import models
from identity import calibration
from models.evaluate import Presented, present, simulated_pairs
from models.palm_calibrate import cosines, fit
from models.palm_people import PEOPLE_SEED_HELD_OUT
from terminal.palm.encoder import Encoder

FOLDER = Path(models.__file__).parent
MACS_MAX = 150e6
BYTES_MAX = 8e6
PALMS = 200
FRAMES = 2

# Honestly reached by the shipped weights with room for another processor's rounding; better weights should lower them. Re-measured when
# simulated strangers came to share their main lines (models/palm.md): the same palms are harder now. On them palm-0.2.0 has 0.036, 0.015,
# 0.010 and 0.009: where only veins show and the square is off by much, it is still the better one.
EER_MAX = {"surface": 0.033, "veins": 0.037, "one light": 0.023, "both": 0.01}

# The same people, misplaced as seldom as the hand finder does it: palm-0.2.0 has 0.035, 0.005 and 0.004.
CARELESS_OF_FINDER = 0.02
EER_MAX_OF_FINDER = {"surface": 0.019, "veins": 0.007, "both": 0.006}


@pytest.fixture(scope="module")
def palms() -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    coarse = rng.normal(0, 0.1, (3, 1, 16, 16)).repeat(8, 2).repeat(8, 3)
    return np.clip(0.45 + coarse + rng.normal(0, 0.02, (3, 1, 128, 128)), 0.05, 0.9).astype(np.float32)


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(FOLDER / "palm.onnx"), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def seen() -> Presented:
    return present(Encoder(), PALMS, PEOPLE_SEED_HELD_OUT, FRAMES)


@pytest.mark.parametrize("name", ["palm.onnx", "palm.int8.onnx"])
def test_contract(name: str, palms: NDArray[np.float32]) -> None:
    session = onnxruntime.InferenceSession(str(FOLDER / name), providers=["CPUExecutionProvider"])
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    assert (taken.name, taken.type, taken.shape[1:]) == ("palm", "tensor(float)", [1, 128, 128])
    assert (given.name, given.type, given.shape[1]) == ("signature", "tensor(float)", 256)
    meta = session.get_modelmeta().custom_metadata_map
    assert meta["version"].startswith("palm-")
    assert meta["licence"] == "Apache-2.0"
    assert meta["made_by"]
    for count in (1, 2, 3):
        signatures = session.run(None, {"palm": palms[:count]})[0]
        assert signatures.shape == (count, 256)
        assert np.allclose(np.linalg.norm(signatures, axis=1), 1.0, atol=1e-4)


def test_opset_size_and_nothing_of_the_machine_that_made_it() -> None:
    model = onnx.load(str(FOLDER / "palm.onnx"))
    assert next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")) >= 17
    data = (FOLDER / "palm.onnx").read_bytes()
    assert len(data) <= BYTES_MAX
    for trace in (b"/wo" + b"rk/", b"/ro" + b"ot/", b"/tmp/", b"site-packages"):
        assert trace not in data


def test_cost() -> None:
    """Multiply-accumulates of convolutions and matrix products for one palm."""
    model = onnx.shape_inference.infer_shapes(onnx.load(str(FOLDER / "palm.onnx")))
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*model.graph.value_info, *model.graph.output)}
    weights = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    macs = 0.0
    for node in model.graph.node:
        if node.op_type == "Conv":
            macs += float(np.prod(weights[node.input[1]])) * float(np.prod(shapes[node.output[0]][2:]))
        elif node.op_type in {"Gemm", "MatMul"} and node.input[1] in weights:
            macs += float(np.prod(weights[node.input[1]]))
    assert 1e6 < macs <= MACS_MAX


def test_gain_and_offset_change_nothing(session: onnxruntime.InferenceSession, palms: NDArray[np.float32]) -> None:
    plain = session.run(None, {"palm": palms})[0]
    for gain, offset in ((0.5, 0.0), (1.0, 0.1), (0.3, 0.2)):
        lit = session.run(None, {"palm": (palms * gain + offset).astype(np.float32)})[0]
        assert float((plain * lit).sum(axis=1).min()) > 0.999


def test_a_palm_is_not_judged_by_its_neighbours(session: onnxruntime.InferenceSession, palms: NDArray[np.float32]) -> None:
    together = session.run(None, {"palm": palms})[0]
    alone = np.concatenate([session.run(None, {"palm": palms[i : i + 1]})[0] for i in range(3)])
    assert np.allclose(together, alone, atol=1e-4)


def test_flat_and_black_pictures_give_finite_signatures(session: onnxruntime.InferenceSession) -> None:
    for level in (0.0, 0.5, 1.0):
        assert np.isfinite(session.run(None, {"palm": np.full((1, 1, 128, 128), level, np.float32)})[0]).all()


def _told_apart(seen: Presented, limits: dict[str, float]) -> None:
    for pairs in simulated_pairs(seen)[len(limits) :]:  # those of all frames
        name = pairs.name.removeprefix("simulated ").split(",")[0]
        found = pairs.rates()
        assert found.genuine == PALMS
        assert found.impostor == PALMS * (PALMS - 1)
        assert found.eer <= limits.pop(name), name
    assert not limits


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_200_unseen_palms_are_told_apart(seen: Presented) -> None:
    _told_apart(seen, dict(EER_MAX))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_200_unseen_palms_are_told_apart_where_the_hand_finder_puts_them() -> None:
    seen = present(Encoder(), PALMS, PEOPLE_SEED_HELD_OUT, FRAMES, one_light=False, careless=CARELESS_OF_FINDER)
    _told_apart(seen, dict(EER_MAX_OF_FINDER))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_int8_says_the_same(seen: Presented) -> None:
    few = present(Encoder(FOLDER / "palm.int8.onnx"), 20, PEOPLE_SEED_HELD_OUT, FRAMES, one_light=False)
    for exact, quick in ((seen.surface, few.surface), (seen.veins, few.veins)):
        assert float(np.einsum("pqfd,pqfd->pqf", exact[:20], quick).mean()) > 0.97


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_calibration_is_fitted_as_the_service_fits_it(seen: Presented) -> None:
    for genuine, impostor in cosines(seen, 2_000).values():
        ours = calibration.KindCalibration.model_validate(fit(genuine, impostor))
        theirs = calibration.fit_kind(genuine, impostor)
        for one, other in ((ours.genuine, theirs.genuine), (ours.impostor, theirs.impostor)):
            assert one.model_dump() == pytest.approx(other.model_dump(), abs=2e-5)
        assert ours.effective_dimension == pytest.approx(theirs.effective_dimension, rel=1e-2)


def test_the_calibration_belongs_to_the_model() -> None:
    encoder = Encoder()
    shipped = calibration.load(FOLDER / "palm.calibration.json")
    assert shipped.model_version == encoder.version
    assert shipped.dimension == encoder.dimension
    assert set(shipped.kinds) == {"surface", "veins", "mixed", "both"}


def test_the_card_is_about_this_file() -> None:
    card = (FOLDER / "palm.md").read_text(encoding="utf-8")
    for name in ("palm.onnx", "palm.int8.onnx"):
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() in card, f"the card's hash of {name} is of another file"
    assert json.loads((FOLDER / "palm.calibration.json").read_text())["model_version"] in card
