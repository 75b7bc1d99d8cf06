"""Layers that the encoder and its aligner share."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

NETWORK_SIDE_PX = 128


class Residual(nn.Module):  # type: ignore[misc]
    """Two 3x3 convolutions around a short cut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.first_norm = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.second, self.second_norm = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        nn.init.zeros_(self.second_norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape in and out."""
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(x + self.second_norm(self.second(y)))


def down(inside: int, outside: int) -> nn.Sequential:
    """A 3x3 convolution to half the side."""
    return nn.Sequential(nn.Conv2d(inside, outside, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU())
