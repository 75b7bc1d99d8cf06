"""The fit finds what it should, errs on the safe side, and its ratio keeps its promise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from identity.calibration import Calibration, CalibrationError, Kind, KindCalibration, Scores, fit_kind, load
from identity.config import SHIPPED_CALIBRATION
from tests.identity.support import calibrated

RANDOM = np.random.default_rng(5)


def drawn(mean: float, between: float, within: float, groups: int, frames: int) -> NDArray[np.float64]:
    cosines = mean + between * RANDOM.normal(size=(groups, 1)) + within * RANDOM.normal(size=(groups, frames))
    return np.clip(cosines, -1, 1)


def test_the_fit_finds_what_was_drawn() -> None:
    fitted = fit_kind(drawn(0.7, 0.08, 0.05, 3000, 6), drawn(0.02, 0.07, 0.05, 30_000, 6))
    assert fitted.genuine.mean == pytest.approx(0.7, abs=0.01)
    assert fitted.genuine.between == pytest.approx(0.08, rel=0.1)
    assert fitted.genuine.within == pytest.approx(0.05, rel=0.05)
    assert fitted.impostor.mean == pytest.approx(0.02, abs=0.005)
    assert 0.069 <= fitted.impostor.between <= 0.085
    assert fitted.effective_dimension == pytest.approx(1 / (0.07**2 + 0.05**2), rel=0.1)


def test_a_heavy_impostor_tail_is_covered() -> None:
    heavy = drawn(0.0, 0.05, 0.01, 50_000, 3)
    heavy[:200] += 0.35  # four in a thousand share their main lines
    fitted = fit_kind(drawn(0.7, 0.08, 0.01, 500, 3), heavy)
    total = np.hypot(fitted.impostor.between, fitted.impostor.within / np.sqrt(3))
    assert total > 0.1, "a plain standard deviation would be 0.055"


def test_one_frame_a_session_lets_no_evidence_add_up() -> None:
    fitted = fit_kind(drawn(0.7, 0.08, 0.05, 300, 1), drawn(0.0, 0.07, 0.05, 3000, 1))
    assert fitted.llr(np.array(0.5), 1.0) == fitted.llr(np.array(0.5), 50.0)


@pytest.mark.parametrize(
    "bad",
    [np.zeros((3, 5)), np.zeros(50), np.full((50, 2), np.nan), np.full((50, 2), 1.5)],
    ids=["few", "flat", "nan", "no cosines"],
)
def test_what_can_not_be_fitted_is_said(bad: NDArray[np.float64]) -> None:
    with pytest.raises(CalibrationError):
        fit_kind(bad, drawn(0.0, 0.07, 0.05, 300, 2))


def scores(mean: float, between: float, within: float) -> Scores:
    return Scores(mean=mean, between=between, within=within)


@given(
    st.floats(0.3, 0.9), st.floats(0.02, 0.3), st.floats(0.0, 0.2), st.floats(0.02, 0.2), st.floats(1, 200),
    st.lists(st.floats(-1, 1), min_size=2, max_size=30),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_more_similar_is_never_worth_less(
    mean: float, genuine: float, within: float, impostor: float, frames: float, means: list[float]
) -> None:
    kind = KindCalibration(
        genuine=scores(mean, genuine, within), impostor=scores(0.01, impostor, within), effective_dimension=1 / impostor**2
    )
    values = kind.llr(np.sort(np.array(means)), frames)
    assert np.isfinite(values).all()
    assert (np.diff(values) >= -1e-9).all()


SHIPPED = load(SHIPPED_CALIBRATION)


@pytest.mark.parametrize("frames", [1, 4, 30])
@pytest.mark.parametrize(
    ("calibration", "kind"),
    [pytest.param(c, kind, id=f"{c.model_version}-{kind}") for c in (calibrated(), SHIPPED) for kind in c.kinds],
)
def test_an_impostors_ratio_is_worth_at_most_one_on_average(calibration: Calibration, kind: Kind, frames: int) -> None:
    """What Markov's and Ville's inequalities stand on, integrated numerically; also of the calibration that is shipped."""
    scale = calibration.kinds[kind]
    impostor = scale.impostor
    deviation = np.sqrt(impostor.between**2 + impostor.within**2 / frames)
    grid = np.linspace(-1, 1, 200_001)
    density = np.exp(-0.5 * ((grid - impostor.mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))
    expected = float((density * np.exp(scale.llr(grid, float(frames)))).sum() * (grid[1] - grid[0]))
    assert expected <= 1.0


def test_frames_of_one_presentation_are_no_independent_witnesses() -> None:
    both = KindCalibration(genuine=scores(0.7, 0.1, 0.08), impostor=scores(0.0, 0.08, 0.08), effective_dimension=78)
    one, five, many, endless = (float(both.llr(np.array(0.6), n)) for n in (1.0, 5.0, 100.0, 1e9))
    assert one < five < many <= endless
    assert endless < 3 * one, "a hundred frames are not a hundred times the evidence"


def test_the_file_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    calibrated().save(tmp_path / "c.json")
    assert load(tmp_path / "c.json") == calibrated()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "not a calibration"),
        (b'{"format": 2}', "format"),
        (b'{"format":1,"model_version":"a","dimension":64,"kinds":{}}', "kinds"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "c.json").write_bytes(content)
    with pytest.raises(CalibrationError, match=says):
        load(tmp_path / "c.json")


def test_a_missing_file_says_where_it_comes_from(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"palm\.onnx"):
        load(tmp_path / "none.json")


def test_a_model_that_tells_nobody_apart_is_refused(tmp_path: Path) -> None:
    kinds = {"mixed": KindCalibration(genuine=scores(0.1, 0.1, 0), impostor=scores(0.2, 0.1, 0), effective_dimension=10)}
    calibrated().model_copy(update={"kinds": kinds}).save(tmp_path / "c.json")
    with pytest.raises(CalibrationError, match="tell people apart"):
        load(tmp_path / "c.json")
