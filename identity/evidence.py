"""Sequential evidence: from one probe to the next, whose palm it is, that it is nobody's, or that more is needed.

For one owner and one stream of probes the likelihood ratio (LR) says how much better "these are looks at the owner's palm" explains the
cosines than "these are looks at another person's palm". It is made of `calibration.llr` of mean cosines, and of mixtures, so that under
the impostor hypothesis its expectation stays at most 1 whatever is looked at and however long:

- frames of a stream are correlated: their *mean* is judged, with the variance that never falls below that between pairs (calibration.py);
  a probe counts by its quality, n frames by Kish's effective number (sum q)^2 / sum q^2;
- over an owner's templates: the average of their LRs;
- over kinds of score (both polarisations, surface, veins, mixed) where a stream has several: the average;
- over starting points: a hand that was still settling spoils the first probes. A segment starts every SEGMENT_PROBES, segment j has the
  weight 1 / ((j + 1) (j + 2)), all together at most 1.

The decision, after each probe, with N palms enrolled:

- *sure* of owner o when  LR(o) / (N + sum of the others' LR) >= 1 / far  (union bound over all N; `far` is the chance that a stranger's
  presentation is taken for anybody enrolled), *and* the runner-up, a different owner, is behind by `margin_log10`, *and* at least
  `probes_min` probes had o as their nearest owner with an LR above 1 each, *and* surface and veins, where both were seen, each speak for o.
  Streams with one light only have half the evidence and no check of one against the other: `single_light_far` and
  `single_light_probes_min` hold for them, and are stricter.
- *nobody* when after `nobody_probes_min` good probes no owner has LR / N >= `nobody_odds`, neither over all probes nor over the latest.
- *unsure* when the caller says that patience is over, or `probes_max` is reached.

A few probes resemble everybody ("wolves"): where the gallery is large enough to tell, a probe's cosines are brought down by its own
similarity to everybody else, never up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from identity.calibration import KINDS, Calibration
from identity.gallery import Cohort, Gallery
from identity.signatures import Look, Side

SEGMENT_PROBES = 10
"""A new starting point for evidence every so many probes (half a second of frames)."""

CANDIDATES_MAX = 24
"""Most owners whose evidence is followed in one stream."""

NEAREST = 8
"""Owners that each search asks for."""

COHORT_ROWS_MIN = 100
"""Fewer templates of others than this say nothing about a probe being a wolf."""

COHORT_SLACK = 1.25
"""A probe's own impostor spread counts as unusual from this multiple of the calibrated one."""

LN10 = math.log(10.0)
BOTH = KINDS.index("both")


@dataclass(frozen=True, slots=True)
class Rules:
    """When evidence is enough. Fields are those of [evidence] in the configuration, where their meaning is written."""

    far: float = 1e-6
    single_light_far: float = 1e-7
    probes_min: int = 3
    single_light_probes_min: int = 6
    margin_log10: float = 2.0
    nobody_probes_min: int = 30
    nobody_odds: float = 3.0
    probes_max: int = 240
    quality_min: float = 0.2


@dataclass(frozen=True, slots=True)
class More:
    """Not sure yet."""

    probes: int
    certainty: float


@dataclass(frozen=True, slots=True)
class Sure:
    """Whose palm it is."""

    owner: str
    probes: int
    log10_ratio: float


@dataclass(frozen=True, slots=True)
class Nobody:
    """Nobody who is enrolled."""

    probes: int


@dataclass(frozen=True, slots=True)
class Unsure:
    """The bound of probes was reached without a decision."""

    probes: int


Verdict = More | Sure | Nobody | Unsure


@dataclass(slots=True)
class _Candidate:
    """An owner (of palms of one side) that was near in some search.

    `sums` float64 [3, J, K, 4]: over the probes of each segment j (from its start to now), for each of the owner's K templates and each
    kind: sum of q, of q^2, of q * score. `speaks` counts probes that had this owner as the nearest and an LR above 1; `with_both` those
    among them with both polarisations, whose cosines [K, 2] (surface, veins) add up in `lights`.
    """

    sums: NDArray[np.float64]
    lights: NDArray[np.float64]
    probes: int = 0
    speaks: int = 0
    with_both: int = 0


@dataclass(frozen=True, slots=True)
class _Seen:
    """A probe that is kept, in memory only, until the stream ends. `shift` and `scale` [4] bring a wolf's scores down, by kind."""

    side: Side
    quality: float
    vectors: NDArray[np.float32] = field(repr=False)
    nearest: str
    shift: NDArray[np.float64] = field(repr=False)
    scale: NDArray[np.float64] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Ratio:
    """Natural log LRs of one candidate: mixed over starting points; over all probes; over the latest whole segment."""

    mixed: float
    whole: float
    latest: float


Key = tuple[Side, str]


class Evidence:
    """Evidence of one stream. Not for use by two threads at once."""

    def __init__(self, gallery: Gallery, calibration: Calibration, rules: Rules) -> None:
        self.gallery, self.calibration, self.rules = gallery, calibration, rules
        self.probes = 0
        self._seen: list[_Seen] = []
        self._candidates: dict[Key, _Candidate] = {}
        self._segments = -(-rules.probes_max // SEGMENT_PROBES)

    def add(self, look: Look) -> None:
        """Take one probe in. One below `quality_min` is counted but says nothing."""
        self.probes += 1
        if look.quality < self.rules.quality_min or self.probes > self.rules.probes_max:
            return
        vectors = self.gallery.rotated(look.signatures)
        found = self.gallery.search(look.side, vectors, NEAREST)
        shift, scale = self._sobering(found.cohort)
        nearest = found.owners[0] if found.owners else ""
        self._seen.append(_Seen(look.side, max(look.quality, 1e-3), vectors, nearest, shift, scale))
        here = [owner for side, owner in self._candidates if side is look.side]
        exact = self.gallery.cosines(look.side, [*here, *(owner for owner in found.owners if owner not in here)], vectors)
        for owner in here:
            self._take(look.side, owner, exact.get(owner), len(self._seen) - 1)
        for owner in found.owners:
            if owner not in here and owner in exact and len(self._candidates) < CANDIDATES_MAX:
                self._follow(look.side, owner, exact[owner].shape[0])

    def clear(self) -> None:
        """Drop every probe and everything made of it."""
        for seen in self._seen:
            seen.vectors.fill(0.0)
        for candidate in self._candidates.values():
            candidate.sums.fill(0.0)
            candidate.lights.fill(0.0)
        self._seen.clear()
        self._candidates.clear()

    def verdict(self) -> Verdict:
        """What the probes so far amount to."""
        rules, ratios = self.rules, self._ratios()
        palms = max(1, self.gallery.owners)
        certainty = 0.0
        if ratios:
            best = max(ratios, key=lambda key: ratios[key].mixed)
            lead = ratios[best].mixed
            others = [ratio.mixed for key, ratio in ratios.items() if key[1] != best[1]]
            odds = lead - float(np.logaddexp.reduce([math.log(palms), *others]))
            agreeing, two_lights = self._agreement(best)
            far = rules.far if two_lights else min(rules.far, rules.single_light_far)
            needed = rules.probes_min if two_lights else max(rules.probes_min, rules.single_light_probes_min)
            clear = not others or lead - max(others) >= rules.margin_log10 * LN10
            if odds >= -math.log(far) and clear and agreeing >= needed:
                return Sure(best[1], self.probes, lead / LN10)
            certainty = max(0.0, min(1.0, odds / -math.log(far))) * min(1.0, agreeing / needed)
        floor = math.log(palms * rules.nobody_odds)
        enough = len(self._seen) >= rules.nobody_probes_min
        if enough and all(ratio.whole < floor and ratio.latest < floor for ratio in ratios.values()):
            return Nobody(self.probes)
        return Unsure(self.probes) if self.probes >= rules.probes_max else More(self.probes, certainty)

    def odds(self) -> float:
        """Odds of the owner with the most evidence against all others who are enrolled; 0 where there is none. For duplicates."""
        ratios = [ratio.mixed for ratio in self._ratios().values()]
        return math.exp(min(700.0, max(ratios))) / max(1, self.gallery.owners) if ratios else 0.0

    def _follow(self, side: Side, owner: str, templates: int) -> None:
        """A new candidate: scored with every probe so far, so that being noticed late is no advantage."""
        self._candidates[side, owner] = _Candidate(np.zeros((3, self._segments, templates, len(KINDS))), np.zeros((templates, 2)))
        for number, seen in enumerate(self._seen):
            if seen.side is side and (side, owner) in self._candidates:
                self._take(side, owner, self.gallery.cosines(side, [owner], seen.vectors).get(owner), number)

    def _take(self, side: Side, owner: str, cosines: NDArray[np.float32] | None, number: int) -> None:
        """Count probe `number` with its cosines [K, 3] for a candidate."""
        candidate, seen = self._candidates[side, owner], self._seen[number]
        if cosines is None or cosines.shape[0] != candidate.lights.shape[0]:
            del self._candidates[side, owner]  # forgotten, or enrolled anew, while the stream ran
            return
        scores = seen.shift + seen.scale * self._by_kind(cosines.astype(np.float64))  # [K, 4]
        there = ~np.isnan(scores)
        started = candidate.probes // SEGMENT_PROBES + 1  # segments that this probe belongs to
        weight = seen.quality * there
        candidate.sums[0, :started] += weight
        candidate.sums[1, :started] += weight**2
        candidate.sums[2, :started] += weight * np.nan_to_num(scores)
        candidate.probes += 1
        if seen.nearest == owner and self._speaks(scores):
            candidate.speaks += 1
            if there[:, BOTH].any():
                candidate.with_both += 1
                candidate.lights += np.nan_to_num(cosines[:, :2])

    def _by_kind(self, cosines: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores [K, 4] in the order of KINDS from cosines [K, 3]: each template in the richest calibrated kind, NaN in the others."""
        weight = self.calibration.surface_weight
        both = weight * cosines[:, 0] + (1 - weight) * cosines[:, 1]
        scores = np.column_stack([cosines, both])
        taken = np.zeros(cosines.shape[0], np.bool_)
        for column in (BOTH, 0, 1, 2):
            usable = ~np.isnan(scores[:, column]) & ~taken & (KINDS[column] in self.calibration.kinds)
            scores[~usable, column] = np.nan
            taken |= usable
        return scores

    def _speaks(self, scores: NDArray[np.float64]) -> bool:
        """Whether one probe alone is more like the owner than like another."""
        for column, kind in enumerate(KINDS):
            values = scores[:, column][~np.isnan(scores[:, column])]
            if values.size and (self.calibration.kinds[kind].llr(values, 1.0) > 0).any():
                return True
        return False

    def _ratios(self) -> dict[Key, _Ratio]:
        """The ratios of all candidates at once."""
        if not self._candidates:
            return {}
        order = list(self._candidates)
        sums = np.concatenate([self._candidates[key].sums for key in order], axis=2)  # [3, J, R, 4]
        total, squares, weighted = sums
        kinds = [column for column in range(len(KINDS)) if total[..., column].any()]
        if not kinds:
            return {}
        parts = []
        for column in kinds:
            q, there = total[..., column], total[..., column] > 0
            mean = np.divide(weighted[..., column], q, out=np.zeros_like(q), where=there)
            frames = np.divide(q**2, squares[..., column], out=np.ones_like(q), where=there)
            parts.append(np.where(there, self.calibration.kinds[KINDS[column]].llr(mean, frames), 0.0))
        by_row = np.logaddexp.reduce(parts, axis=0) - math.log(len(kinds))  # [J, R]
        ratios, first = {}, 0
        segment = np.arange(self._segments)
        prior = -np.log((segment + 1.0) * (segment + 2.0))
        for key in order:
            candidate = self._candidates[key]
            templates = candidate.lights.shape[0]
            by_segment = np.logaddexp.reduce(by_row[:, first : first + templates], axis=1) - math.log(templates)
            first += templates
            started = -(-candidate.probes // SEGMENT_PROBES)
            whole_segments = max(1, candidate.probes // SEGMENT_PROBES)
            mixed = float(np.logaddexp.reduce((by_segment + prior)[:started]))
            ratios[key] = _Ratio(mixed, float(by_segment[0]), float(by_segment[whole_segments - 1]))
        return ratios

    def _agreement(self, key: Key) -> tuple[int, bool]:
        """How many probes each speak for this owner, and whether that was seen in both polarisations.

        Where surface and veins were seen and one of them, taken alone, speaks against the owner, no probe agrees.
        """
        candidate = self._candidates[key]
        if candidate.with_both:
            means = candidate.lights / candidate.with_both
            best = means[int(means.sum(axis=1).argmax())]
            for cosine, kind in zip(best, ("surface", "veins"), strict=True):
                if float(self.calibration.kinds[kind].llr(np.array(cosine), float(candidate.with_both))) <= 0:  # type: ignore[index]
                    return 0, True
        return candidate.speaks, candidate.with_both >= self.rules.probes_min

    def _sobering(self, cohort: Cohort) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Shift and scale [4] that bring the scores of a probe that resembles everybody down to what they mean for a usual one."""
        shift, scale = np.zeros(len(KINDS)), np.ones(len(KINDS))
        weight = self.calibration.surface_weight
        shares = [[(0, 1.0)], [(1, 1.0)], [(2, 1.0)], [(0, weight), (1, 1 - weight)]]
        for column, kind in enumerate(KINDS):
            parts = shares[column]
            if kind not in self.calibration.kinds or min(cohort.rows[part] for part, _ in parts) < COHORT_ROWS_MIN:
                continue
            impostor = self.calibration.kinds[kind].impostor
            mean = sum(cohort.mean[part] * share for part, share in parts)
            spread = sum(cohort.deviation[part] * share for part, share in parts)  # of a weighted sum it is at most this
            usual = math.hypot(impostor.between, impostor.within)
            scale[column] = min(1.0, COHORT_SLACK * usual / spread) if spread > 0 else 1.0
            shift[column] = impostor.mean - scale[column] * max(mean, impostor.mean)
        return shift, scale
