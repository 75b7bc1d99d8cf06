"""What a cosine is worth: the calibration that ships with an encoder, and how it is fitted.

The file (`models/palm.calibration.json`) is the contract between the training and this service; neither imports the other::

    {
      "format": 1,
      "model_version": "palm-0.1.0",        the same as the metadata of palm.onnx
      "dimension": 256,                     D of a signature
      "surface_weight": 0.5,                weight w of the surface in the kind "both"
      "kinds": {
        "surface": {                        same polarisation
          "genuine":  {"mean": 0.71, "between": 0.09, "within": 0.05, "groups": 4000, "frames": 5},
          "impostor": {"mean": 0.01, "between": 0.07, "within": 0.02, "groups": 400000, "frames": 5},
          "effective_dimension": 188.0,
          "stray": 0.1
        },
        "veins": {...},                     crossed polarisation
        "mixed": {...},                     polarisation not known (one-light cameras, recordings)
        "both":  {...}                      w * cosine(surface) + (1 - w) * cosine(veins), taken as one score
      },
      "made_by": "python -m models.calibrate ...", "measured_on": "what, in words"
    }

Kinds that the encoder was not measured on are left out; the service then refuses probes that have nothing else.

The model of one score. One *presentation* is compared with one *template* (a signature kept from an enrolment). Its frames t = 1..n
give cosines s_t = b + e_t: b is drawn once for each pair of template and presentation, with mean `mean` and standard deviation
`between`; e_t is drawn for each frame with standard deviation `within`. So frames of a presentation are correlated with
rho = between^2 / (between^2 + within^2), and n frames are worth n / (1 + (n - 1) rho) independent ones: their mean is
Normal(mean, between^2 + within^2 / n) and never becomes surer than `between` allows. The log-likelihood ratio of a mean m is

    llr(m, n) = log ((1 - stray) G(m) + stray Uniform(m; impostor mean .. 1)) - log Normal(m; impostor)
    G(m) = min(Normal(m; genuine), h) below the genuine mean, and above it what it is there;  h = 0.5 / (1 - genuine mean)

with m taken at the impostors' mean where it is below. G is the genuine distribution with its upper half spread evenly up to 1 (a very
good look is no evidence against the owner), cut where it would step down. So more similar is never worth less. `stray` (0.1 where the
file does not say) is the share of genuine presentations that look unlike the measured ones: real hands where simulated ones were
measured, a cold day, a plaster. They are unlike impostors all the same, and it is this that counts.

What is promised: under the impostor hypothesis the ratio's expectation is at most 1, whatever G is, since it is a density (integral at
most 1); so an impostor reaches a ratio of x with a chance of at most 1 / x (Markov), if the impostors' distribution is right. With
`within` equal in both classes, the ratio of a growing number of frames is a martingale (exactly so for the normal parts), and the same
bound holds however long the impostor goes on (Ville). The fit makes them equal (pooled, taking the larger). That is what makes "FAR
1e-6" a setting; a test measures it.

The fit (`fit_kind`), from cosines [G, F] of G independent pairs of template and presentation with F frames each:

- mean = mean of all. For impostors: not below 0 (a negative mean would flatter the rest).
- within^2 = mean over groups of the variance (F - 1 in the denominator); the larger of the two classes is used for both.
- between^2 = variance of the group means - within^2 / F, at least FLOOR^2. F = 1 tells nothing about correlation: within = 0, so
  that frames count as copies of each other.
- The impostors' upper tail is heavier than a normal one, since all palms share their main lines. Overbound: total standard deviation
  = the largest of the sample's and of (q - mean) / z over the upper quantiles 1e-2, 1e-3 ... down to 10 / G of the group means,
  z being the normal quantile; the excess goes to `between`. So the normal tail lies above the measured one wherever it was measured.
  Below that it is an extrapolation, and the model card says so.
- effective_dimension = 1 / (variance of impostor cosines).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

Kind = Literal["surface", "veins", "mixed", "both"]
KINDS: tuple[Kind, ...] = ("surface", "veins", "mixed", "both")

FLOOR = 0.01
"""Least standard deviation (cosine) between pairs that a fit may claim: nobody measures better than that."""

DIMENSION_MAX = 512
"""Longest signature."""


class CalibrationError(Exception):
    """The calibration can't be used; the sentence says which file and what is wrong."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Scores(_Part):
    """How the cosines of one class are distributed (standard deviations, not variances)."""

    mean: float = Field(ge=-1, lt=1)
    between: float = Field(ge=FLOOR, le=1)
    within: float = Field(ge=0, le=1)
    groups: int = Field(0, ge=0)
    frames: int = Field(0, ge=0)


class KindCalibration(_Part):
    """One kind of score: genuine against impostor."""

    genuine: Scores
    impostor: Scores
    effective_dimension: float = Field(gt=1)
    stray: float = Field(0.1, gt=0, lt=1)

    def llr(self, means: NDArray[np.float64], frames: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Natural log-likelihood ratios of mean cosines `means` over `frames` (effective number, > 0); shapes broadcast."""
        n = np.maximum(np.asarray(frames, np.float64), 1e-6)
        g, i = self.genuine, self.impostor
        var_g, var_i = g.between**2 + g.within**2 / n, i.between**2 + i.within**2 / n
        m = np.maximum(means, i.mean)
        below = -0.5 * ((np.minimum(m, g.mean) - g.mean) ** 2 / var_g + np.log(2 * np.pi * var_g))
        usual = math.log(1 - self.stray) + np.minimum(below, math.log(0.5 / (1 - g.mean)))
        impostor = -0.5 * ((m - i.mean) ** 2 / var_i + np.log(2 * np.pi * var_i))
        return np.asarray(np.logaddexp(usual, math.log(self.stray / (1 - i.mean))) - impostor, np.float64)


class Calibration(_Part):
    """The whole file."""

    format: Literal[1]
    model_version: str = Field(min_length=1, max_length=64)
    dimension: int = Field(ge=8, le=DIMENSION_MAX)
    surface_weight: float = Field(0.5, gt=0, lt=1)
    kinds: dict[Kind, KindCalibration] = Field(min_length=1)
    made_by: str = ""
    measured_on: str = ""

    def save(self, path: Path) -> None:
        """Write the file that `load` reads."""
        path.write_text(json.dumps(self.model_dump(), indent=2) + "\n", encoding="utf-8")


def load(path: Path) -> Calibration:
    """Read and check a calibration file. Raises CalibrationError."""
    try:
        calibration = Calibration.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CalibrationError(
            f"{path}: the calibration can't be read ({error.strerror}). It ships with palm.onnx; name it as [evidence] calibration."
        ) from None
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3])
        raise CalibrationError(f"{path}: not a calibration of format 1: {wrong}. Make it again with the model.") from None
    for kind, scores in calibration.kinds.items():
        if scores.genuine.mean <= scores.impostor.mean:
            raise CalibrationError(
                f"{path}: kind {kind}: genuine cosines are not above impostors'; this model can't tell people apart."
            )
    return calibration


def fit_kind(genuine: NDArray[np.float64], impostor: NDArray[np.float64]) -> KindCalibration:
    """Fit one kind from cosines float [G, F]: G independent pairs of template and presentation, F frames each.

    Raises CalibrationError with fewer than 20 groups of either class, or values that are no cosines.
    """
    spreads = []
    for name, cosines in (("genuine", genuine), ("impostor", impostor)):
        if cosines.ndim != 2 or cosines.shape[0] < 20 or cosines.shape[1] < 1:
            raise CalibrationError(f"{name} cosines: at least 20 groups are needed as [groups, frames]; got {cosines.shape}")
        if not np.isfinite(cosines).all() or np.abs(cosines).max() > 1.001:
            raise CalibrationError(f"{name} cosines: between -1 and 1 and finite is expected")
        frames = cosines.shape[1]
        spreads.append(float(cosines.var(axis=1, ddof=1).mean()) if frames > 1 else 0.0)
    within2 = max(spreads) if min(genuine.shape[1], impostor.shape[1]) > 1 else 0.0
    parts: dict[str, Scores] = {}
    for name, cosines in (("genuine", genuine), ("impostor", impostor)):
        groups, frames = cosines.shape
        means = cosines.mean(axis=1)
        centre = float(means.mean()) if name == "genuine" else max(0.0, float(means.mean()))
        total = float(means.std(ddof=1))
        if name == "impostor":
            total = max(total, _overbound(means, centre))
        between = math.sqrt(max(total**2 - within2 / frames, FLOOR**2))
        parts[name] = Scores(mean=centre, between=min(between, 1.0), within=math.sqrt(within2), groups=groups, frames=frames)
    dimension = 1.0 / max(float(impostor.var()), 1e-6)
    return KindCalibration(genuine=parts["genuine"], impostor=parts["impostor"], effective_dimension=max(dimension, 1.001))


def _overbound(means: NDArray[np.float64], centre: float) -> float:
    """The least standard deviation whose normal upper tail lies above the measured one at each quantile that was measured."""
    largest, share = 0.0, 1e-2
    while share * means.size >= 10:
        quantile = float(np.quantile(means, 1 - share))
        largest = max(largest, (quantile - centre) / NormalDist().inv_cdf(1 - share))
        share /= 10
    return largest
