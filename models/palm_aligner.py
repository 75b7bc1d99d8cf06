"""Puts a misplaced canonical palm right: landmarks that a network finds by itself, and the similarity that brings them home.

A number regressed from the whole picture learns what misplaced *simulated* palms look like, and follows a shift of real ones by less than
half. A landmark is the centre of mass of a heat map: when the picture moves, it moves as far, whatever it sits on. So the network answers
a shift in full by how it is built, on skin unlike the skin that it learned from too.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.palm_layers import NETWORK_SIDE_PX, Residual, down

ALIGN_LANDMARKS = 16
ALIGN_LIMITS = (0.2, 0.3, 0.3, 0.35)
"""Most that is undone: shift in sides of the picture, turn in radians, log of the scale. A convention of cropping is among it."""

ALIGN_UNITS = (0.03, 0.03, 0.06, 0.04)
"""An error of this size counts one."""

ALIGN_ANCHOR = 0.15

ALIGN_HELD_BACK = 2.5
"""Units (over all four parts) at which half of a guess is undone: a small error costs an encoder less than a wrong guess, a large one more.
Chosen on simulated palms, placed as a finder does and as pegs do (models/palm.md)."""

ALIGN_EVIDENCE = 5.0
"""Sum of the landmarks' weights at which half of a guess is believed: main lines of a palm that lies upright give 10 to 50, veins and
palms that lie otherwise 2 to 10. Chosen on simulated palms too."""

ALIGN_HOME = 0.05
"""Pull of each landmark to its home, so that they stay apart; in the loss beside their errors."""

_DOUBT_LIMIT = 3.0
_MAP_SIDE = 32
_SHARPNESS = 4.0  # of the softmax: a landmark starts as a place, not as the middle of the picture
_RIDGE = 0.02  # square sides of the picture: so much spread of landmarks without any evidence of a turn or a scale
_GRID = (-0.3, -0.1, 0.1, 0.3)


class Landmarks(NamedTuple):
    """Where landmarks are (sides of the picture, from its middle), and the logs of their expected errors in units of 0.03; [N, K]."""

    x: Tensor
    y: Tensor
    doubt: Tensor

    @property
    def weight(self) -> Tensor:
        """Of each in a fit: one over the square of its expected error, in units of 0.03."""
        return torch.exp(-2.0 * self.doubt)


class _Up(nn.Module):  # type: ignore[misc]
    """To twice the side, onto what was there on the way down."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.thin = nn.Sequential(nn.Conv2d(inside, outside, 1, bias=False), nn.BatchNorm2d(outside))

    def forward(self, x: Tensor, beside: Tensor) -> Tensor:
        return F.relu(beside + F.interpolate(self.thin(x), scale_factor=2, mode="nearest"))


class Aligner(nn.Module):  # type: ignore[misc]
    """Guesses how the canonical palm was misplaced, and undoes it.

    It learns from pairs of views of one palm: the *difference* of its two guesses is to be the difference of the two errors. So it need not
    know where the square lies in truth, which no picture tells, only put it in the same place each time. Landmarks weigh by how sure the
    network is of each, and a ridge, learned as well, holds the guess back where none is sure.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        w = width
        self.enter = nn.Sequential(nn.Conv2d(1, w, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(w), nn.ReLU(), Residual(w))
        self.middle = nn.Sequential(down(w, 2 * w), Residual(2 * w))
        self.deep = nn.Sequential(down(2 * w, 4 * w), Residual(4 * w), Residual(4 * w))
        self.up_middle, self.join_middle, self.up = _Up(4 * w, 2 * w), Residual(2 * w), _Up(2 * w, w)
        self.heat = nn.Conv2d(w, 2 * ALIGN_LANDMARKS, 3, padding=1)
        nn.init.normal_(self.heat.weight, std=0.05)
        nn.init.zeros_(self.heat.bias)
        self.home = nn.Parameter(torch.tensor([[x, y] for y in _GRID for x in _GRID]))
        self.ridge = nn.Parameter(torch.zeros(2))  # logs: of turn and scale in units of _RIDGE, of the shift in landmarks
        self.register_buffer("limit", torch.tensor(ALIGN_LIMITS))
        self.register_buffer("cells", (torch.arange(_MAP_SIDE, dtype=torch.float32) + 0.5) / _MAP_SIDE - 0.5)
        axis = (torch.arange(NETWORK_SIDE_PX, dtype=torch.float32) + 0.5) / NETWORK_SIDE_PX - 0.5
        v, u = torch.meshgrid(axis, axis, indexing="ij")
        self.register_buffer("u", u[None].contiguous())
        self.register_buffer("v", v[None].contiguous())

    def landmarks(self, level: Tensor) -> Landmarks:
        """Of float32 [N, 1, 128, 128] of normalised contrast."""
        large = self.enter(F.avg_pool2d(level, 2))
        middle = self.middle(large)
        x = self.up(self.join_middle(self.up_middle(self.deep(middle), middle)), large)
        heat, unsure = self.heat(x).float().split(ALIGN_LANDMARKS, dim=1)
        share = torch.softmax(_SHARPNESS * heat.flatten(2), dim=2)
        seen = share.reshape(heat.shape)
        across, along = (seen.sum(2) * self.cells).sum(2), (seen.sum(3) * self.cells).sum(2)
        doubt = _DOUBT_LIMIT * torch.tanh((share * unsure.flatten(2)).sum(2) / _DOUBT_LIMIT)
        return Landmarks(across, along, doubt)

    def similarity(self, found: Landmarks) -> Tensor:
        """The error [N, 4], as `palm_generator.Pose.error`, that brings landmarks home: weighted least squares with a ridge; bounded."""
        x, y, weight = found.x, found.y, found.weight
        total = weight.sum(1, keepdim=True)
        share = weight / total
        home_x, home_y = self.home[:, 0], self.home[:, 1]
        x0, y0, hx0, hy0 = ((share * part).sum(1, keepdim=True) for part in (x, y, home_x, home_y))
        dx, dy, hx, hy = x - x0, y - y0, home_x - hx0, home_y - hy0
        hold = _RIDGE * torch.exp(self.ridge[0])
        spread = (weight * (dx * dx + dy * dy)).sum(1, keepdim=True) + hold
        a = ((weight * (dx * hx + dy * hy)).sum(1, keepdim=True) + hold) / spread  # scale times cosine
        b = (weight * (dx * hy - dy * hx)).sum(1, keepdim=True) / spread  # scale times sine
        turn = torch.atan(b / torch.clamp(a, min=0.2))
        scale = 0.5 * torch.log(torch.clamp(a * a + b * b, min=1e-4))
        heard = total / (total + torch.exp(self.ridge[1])) * torch.exp(-scale)
        error = torch.cat([heard * (hx0 - a * x0 + b * y0), heard * (hy0 - b * x0 - a * y0), turn, scale], dim=1)
        share = (error / self.limit).square()
        return error * (1.0 + share.square()).pow(-0.25)  # bends late: what the limit is not near to is answered in full

    def correction(self, level: Tensor, bold: bool = False) -> Tensor:
        """What is to be undone in float32 [N, 1, 128, 128] of normalised contrast: [N, 4].

        `bold`: also where the landmarks doubt themselves, so that an encoder in training learns to bear it.
        """
        found = self.landmarks(level)
        return self.held_back(self.similarity(found), None if bold else found.weight.sum(1, keepdim=True))

    def held_back(self, guessed: Tensor, evidence: Tensor | None = None) -> Tensor:
        """Of guesses [N, 4]: little of small ones, nearly all of large ones, and little where the evidence [N, 1] is small. Same shape."""
        square = (guessed / guessed.new_tensor(ALIGN_UNITS)).square().sum(1, keepdim=True)
        undone = guessed * square / (square + ALIGN_HELD_BACK**2)
        return undone if evidence is None else undone * evidence / (evidence + ALIGN_EVIDENCE)

    def undo(self, level: Tensor, error: Tensor) -> Tensor:
        """The picture as it would be without that error, same shape; beyond its edge the edge goes on."""
        across, along, turn, scale = (error[:, k].view(-1, 1, 1) for k in range(4))
        shrink, c, s = torch.exp(-scale), torch.cos(turn), torch.sin(turn)
        x, y = self.u * shrink - across, self.v * shrink - along
        grid = 2.0 * torch.stack([c * x + s * y, c * y - s * x], dim=-1)
        return F.grid_sample(level, grid, mode="bilinear", padding_mode="border", align_corners=False)


def alignment_loss(guessed: Tensor, error: Tensor) -> Tensor:
    """Of guesses [N, 4] for views 2k and 2k + 1 of a palm: mostly by their difference, a little by where they are. Scalar."""
    unit = guessed.new_tensor(ALIGN_UNITS)
    apart = (guessed[0::2] - guessed[1::2] - error[0::2] + error[1::2]) / unit
    return F.smooth_l1_loss(apart, torch.zeros_like(apart)) + ALIGN_ANCHOR * F.smooth_l1_loss(guessed / unit, error / unit)


def landmark_loss(found: Landmarks, home: Tensor, error: Tensor) -> Tensor:
    """Of landmarks [N, K] in views 2k and 2k + 1 of a palm, misplaced by errors [N, 4]: what they differ by on the palm itself. Scalar.

    The likelihood of a Laplace distribution as wide as both views expect together: a landmark that doubts itself pays less for a miss and
    more for a hit. So what a landmark says of itself becomes its weight in the fit.
    """
    across, along, turn, scale = (error[:, k : k + 1] for k in range(4))
    c, s = torch.exp(scale) * torch.cos(turn), torch.exp(scale) * torch.sin(turn)
    shift_x, shift_y = torch.exp(scale) * across, torch.exp(scale) * along
    x, y = c * found.x - s * found.y + shift_x, s * found.x + c * found.y + shift_y
    apart = torch.sqrt((x[0::2] - x[1::2]).square() + (y[0::2] - y[1::2]).square() + 1e-6) / ALIGN_UNITS[0]
    width = 0.5 * torch.logaddexp(2.0 * found.doubt[0::2], 2.0 * found.doubt[1::2])
    strayed = ((x - home[:, 0]).square() + (y - home[:, 1]).square()) / ALIGN_UNITS[0] ** 2
    return (apart * torch.exp(-width) + width).mean() + ALIGN_HOME * torch.sqrt(strayed + 1.0).mean()
