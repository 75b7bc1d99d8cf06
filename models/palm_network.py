"""The encoder: one network for both polarisations, from a canonical palm to its signature.

Local contrast normalisation, a small network that puts right where the hand finder erred, a fixed stem of oriented line filters that
compete across orientation (as the classic codes do), a compact residual trunk, and a head that keeps *where* things are: palms arrive
aligned, so position carries identity. Input float32 [N, 1, 128, 128] in 0..1, output float32 [N, 256] with L2 norm 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.palm_aligner import Aligner
from models.palm_layers import NETWORK_SIDE_PX, Residual, down

NETWORK_DIMENSION = 256
NETWORK_ORIENTATIONS = 8

_CONTRAST_SIGMA_PX = 7.0
_CONTRAST_TAPS = 15
_CONTRAST_FLOOR = 0.03  # of the picture's own mean local variance: flat places stay flat
_COMPETITION = 3.5  # how sharply the strongest orientation wins


class LocalContrast(nn.Module):  # type: ignore[misc]
    """Each pixel minus the Gaussian mean around it, over the deviation there: the same for any gain and offset.

    The mean and the deviation are smooth, so they are computed at half size, and as products with one banded matrix from both sides: a
    convolution of a single channel takes ten times as long.
    """

    def __init__(self) -> None:
        super().__init__()
        side = NETWORK_SIDE_PX // 2
        at = torch.arange(side, dtype=torch.float32)
        apart = at[:, None] - at[None, :]
        weights = torch.exp(-(apart**2) / (2 * (_CONTRAST_SIGMA_PX / 2) ** 2)) * (apart.abs() <= _CONTRAST_TAPS // 2)
        # Rows sum to one also at the borders: there it is the mean of what there is.
        self.register_buffer("blur", weights / weights.sum(dim=1, keepdim=True), persistent=False)

    def _mean(self, x: Tensor) -> Tensor:
        return self.blur @ x @ self.blur.t()

    def forward(self, x: Tensor) -> Tensor:
        """Float32 [N, 1, 128, 128] to the same shape, about -3..3."""
        x = x - x.mean(dim=(2, 3), keepdim=True)  # keeps the squares below exact for bright pictures
        centred = x - F.interpolate(self._mean(F.avg_pool2d(x, 2)), scale_factor=2, mode="bilinear", align_corners=False)
        variance = self._mean(F.avg_pool2d(centred * centred, 2))
        # A clamp, since exporters fold a sum with a number this small away, and a flat picture would divide by nothing.
        floor = torch.clamp(_CONTRAST_FLOOR * variance.mean(dim=(2, 3), keepdim=True), min=1e-9)
        gain = F.interpolate(torch.rsqrt(variance + floor), scale_factor=2, mode="bilinear", align_corners=False)
        return torch.clamp(centred * gain, -4.0, 4.0)


def line_filters(size: int, wavelength: float, elongation: float) -> Tensor:
    """Float32 [8, 1, size, size]: even Gabor filters that answer to dark lines; zero mean, unit energy."""
    axis = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    filters = []
    for k in range(NETWORK_ORIENTATIONS):
        angle = math.pi * k / NETWORK_ORIENTATIONS
        across = -x * math.sin(angle) + y * math.cos(angle)
        along = x * math.cos(angle) + y * math.sin(angle)
        sigma = 0.42 * wavelength
        window = torch.exp(-(across**2 + (along / elongation) ** 2) / (2 * sigma**2))
        wave = -torch.cos(2 * math.pi * across / wavelength) * window
        wave = wave - window * (wave.sum() / window.sum())
        filters.append(wave / wave.norm())
    return torch.stack(filters).unsqueeze(1)


class OrientedStem(nn.Module):  # type: ignore[misc]
    """Dark lines at four widths; within each, orientations compete by softmax, so that what counts is which way a line runs."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("fine", torch.cat([0.6 * line_filters(11, 4.2, 1.8), 0.5 * line_filters(11, 6.6, 1.6)]))
        self.register_buffer("middle", 0.6 * line_filters(9, 5.2, 1.7))
        self.register_buffer("broad", 0.8 * line_filters(9, 5.2, 1.5))

    @staticmethod
    def _compete(response: Tensor) -> Tensor:
        n, channels, height, width = response.shape
        grouped = response.reshape(n, channels // NETWORK_ORIENTATIONS, NETWORK_ORIENTATIONS, height, width)
        return torch.softmax(grouped * _COMPETITION, dim=2).reshape(n, channels, height, width) * NETWORK_ORIENTATIONS - 1.0

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Float32 [N, 1, 128, 128] to [N, 24, 64, 64] and [N, 8, 32, 32]."""
        half = F.avg_pool2d(x, 2)
        quarter = F.avg_pool2d(half, 2)
        lines = torch.cat([F.conv2d(x, self.fine, stride=2, padding=5), F.conv2d(half, self.middle, padding=4)], dim=1)
        return self._compete(lines), self._compete(F.conv2d(quarter, self.broad, padding=4))


class PalmNetwork(nn.Module):  # type: ignore[misc]
    """Canonical palm in, signature out."""

    def __init__(self) -> None:
        super().__init__()
        self.contrast = LocalContrast()
        self.aligner = Aligner()
        self.stem = OrientedStem()
        self.enter = down(3 * NETWORK_ORIENTATIONS, 32)
        self.trunk = nn.Sequential(
            nn.Conv2d(32 + NETWORK_ORIENTATIONS, 32, 1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            down(32, 64),
            Residual(64),
            down(64, 96),
            Residual(96),
            nn.Conv2d(96, 48, 1, bias=False),
            nn.BatchNorm2d(48),
            nn.ReLU(),
        )
        self.head = nn.Linear(48 * 8 * 8, NETWORK_DIMENSION, bias=False)
        self.head_norm = nn.BatchNorm1d(NETWORK_DIMENSION)

    def put_right(self, palm: Tensor, bold: bool = False) -> Tensor:
        """The palm's normalised contrast, float32 [N, 1, 128, 128], where the aligner would have it; `bold` as `Aligner.correction`."""
        level = self.contrast(palm)
        return self.aligner.undo(level, self.aligner.correction(level, bold))

    def embed(self, lines: Tensor, broad: Tensor) -> Tensor:
        """The learned part: [N, 256], not yet normalised."""
        x = torch.cat([self.enter(lines), broad.to(lines.dtype)], dim=1)
        x = self.trunk(x).flatten(1)
        return self.head_norm(self.head(x))

    def forward(self, palm: Tensor) -> Tensor:
        """Float32 [N, 1, 128, 128] in 0..1 to float32 [N, 256] with L2 norm 1."""
        return F.normalize(self.embed(*self.stem(self.put_right(palm))).float(), dim=1, eps=1e-6)


class CosineMargin(nn.Module):  # type: ignore[misc]
    """Cosine-margin softmax over all classes, and the same among the two views of each palm in a batch.

    The first teaches with every class as a rival; the second starts to teach from the first step and needs no prototypes.
    """

    def __init__(self, classes: int, scale: float = 32.0, pair_scale: float = 20.0, pair_weight: float = 1.0) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(F.normalize(torch.randn(classes, NETWORK_DIMENSION), dim=1))
        self.scale, self.pair_scale, self.pair_weight = scale, pair_scale, pair_weight

    def forward(self, signatures: Tensor, labels: Tensor, margin: float) -> tuple[Tensor, Tensor]:
        """Signatures [N, 256] (views of a palm side by side: 2k and 2k + 1), labels int64 [N]: loss and the share of right answers."""
        cosines = signatures @ F.normalize(self.prototypes, dim=1).t()
        right = (cosines.argmax(1) == labels).float().mean()
        hard = cosines - margin * F.one_hot(labels, cosines.shape[1]).to(cosines.dtype)
        loss = F.cross_entropy(self.scale * hard, labels)
        one, other = signatures[0::2], signatures[1::2]
        among = self.pair_scale * (one @ other.t() - 0.5 * margin * torch.eye(len(one), device=one.device))
        target = torch.arange(len(one), device=one.device)
        pairs = F.cross_entropy(among, target) + F.cross_entropy(among.t(), target)
        return loss + 0.5 * self.pair_weight * pairs, right
