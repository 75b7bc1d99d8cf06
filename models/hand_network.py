"""The three networks of the hand finder, and how they become one file, `hand.onnx`.

`Coarse` looks at the whole frame made small and says where a palm is, which hand, and roughly where its valleys lie. `Fine` looks at a
piece of the frame that was turned upright, scaled to one size and mirrored to a right hand, and says exactly where the points are and
whether this really is an open palm. `Valley` looks at a small patch around each valley, at twice that resolution, and says where the web
of skin ends: on this the canonical palm stands. One network with all duties would have to be several times as large: the later ones never
meet a rotated, small or left hand.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from terminal.palm.finder_network import COARSE_CHANNELS, POINTS
from terminal.palm.geometry import FINE_SIDE_PX, PATCH_SIDE_PX

EPSILON = 0.03
"""Contrast (of 0..1) that counts as none: an unlit frame must not be amplified to pure noise."""

OPSET = 17

OUTPUTS = {"points": ["planes", "rows", "columns"], "said": ["words"]}


def block(inner: int, outer: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, normalisation, rectifier."""
    return nn.Sequential(nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU(inplace=True))


class Residual(nn.Module):  # type: ignore[misc]
    """A block that learns what to add."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = block(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape out as in."""
        return x + self.body(x)


def standardised(image: Tensor) -> Tensor:
    """Float32 [N,1,H,W] in 0..1 to zero mean and about unit contrast, each picture by itself."""
    centred = image - image.mean((2, 3), keepdim=True)
    return centred / (centred.square().mean((2, 3), keepdim=True).sqrt() + EPSILON)


class Coarse(nn.Module):  # type: ignore[misc]
    """Float32 [N,1,H,W] in 0..1, H and W multiples of 16, to [N, COARSE_CHANNELS, H/8, W/8].

    Channels: three logits for "the centre of a palm of a left hand / of a right hand / of a hand that shows no palm is here"; then eight
    offsets from this cell's centre to the three valleys, from the right when fingers are up, and to the wrist, as x, y in units of 32 px.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        w = width
        self.stem = nn.Sequential(block(1, w, 2), block(w, w * 3 // 2, 2), Residual(w * 3 // 2))
        self.middle = nn.Sequential(block(w * 3 // 2, w * 3, 2), Residual(w * 3))
        self.deep = nn.Sequential(block(w * 3, w * 4, 2), Residual(w * 4), Residual(w * 4), Residual(w * 4))
        self.back = nn.Sequential(nn.Conv2d(w * 4, w * 3, 1, bias=False), nn.BatchNorm2d(w * 3))
        self.join = block(w * 3, w * 3)
        self.head = nn.Conv2d(w * 3, COARSE_CHANNELS, 1)
        with torch.no_grad():
            self.head.bias[:3] = -4.0

    def forward(self, image: Tensor) -> Tensor:
        """See the class."""
        middle = self.middle(self.stem(standardised(image)))
        deep = nn.functional.interpolate(self.back(self.deep(middle)), scale_factor=2.0, mode="nearest")
        return self.head(self.join(torch.relu(middle + deep)))


class Fine(nn.Module):  # type: ignore[misc]
    """Float32 [N,1,S,S] in 0..1 (S = FINE_SIDE_PX) to points [N,POINTS,2] and said [N, POINTS + 3].

    Points are in pixels of the piece, (x, y), pixel centres whole. `said`: log of each point's expected error in pixels, then the logit
    that this is an upright open palm of a right hand, then yaw and pitch in units of 30 degrees.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        w = width
        self.stem = nn.Sequential(block(1, w, 2), block(w, w, 2), Residual(w))
        self.middle = nn.Sequential(block(w, w * 3, 2), Residual(w * 3))
        self.deep = nn.Sequential(block(w * 3, w * 4, 2), Residual(w * 4), Residual(w * 4))
        self.back_deep = nn.Sequential(nn.Conv2d(w * 4, w * 3, 1, bias=False), nn.BatchNorm2d(w * 3))
        self.join_middle = Residual(w * 3)
        self.back_middle = nn.Sequential(nn.Conv2d(w * 3, w, 1, bias=False), nn.BatchNorm2d(w))
        self.join = block(w, w)
        self.heat = nn.Conv2d(w, POINTS, 3, padding=1)
        self.say = nn.Sequential(nn.Linear(w * 8, w * 4), nn.ReLU(inplace=True), nn.Linear(w * 4, POINTS + 3))
        cells = FINE_SIDE_PX // 4
        axis = torch.arange(cells, dtype=torch.float32) * 4 + 1.5  # the middle of each cell, in pixels of the piece
        self.register_buffer("axis", axis, persistent=False)

    def maps(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Heat [N,POINTS,S/4,S/4] before the softmax, and `said`."""
        fine = self.stem(standardised(image))
        middle = self.middle(fine)
        deep = self.deep(middle)
        up = nn.functional.interpolate(self.back_deep(deep), scale_factor=2.0, mode="nearest")
        joined = self.join_middle(torch.relu(middle + up))
        up = nn.functional.interpolate(self.back_middle(joined), scale_factor=2.0, mode="nearest")
        heat = self.heat(self.join(torch.relu(fine + up)))
        said = self.say(torch.cat([deep.mean((2, 3)), deep.amax((2, 3))], 1))
        return heat, said

    def expected(self, heat: Tensor) -> Tensor:
        """The softmax's centre of mass, [N,POINTS,2] in pixels: sub-pixel, and differentiable for training."""
        share = torch.softmax(heat.flatten(2), 2).reshape(heat.shape)
        x = (share.sum(2) * self.axis).sum(2)
        y = (share.sum(3) * self.axis).sum(2)
        return torch.stack([x, y], 2)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        heat, said = self.maps(image)
        return self.expected(heat), said


class Valley(nn.Module):  # type: ignore[misc]
    """Patches float32 [N,1,S,S] in 0..1 (S = PATCH_SIDE_PX) around valleys to points [N,1,2] in pixels of the patch and said [N,1].

    `said` is the log of the expected error in pixels of the patch.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        w = width
        self.stem = nn.Sequential(block(1, w, 2), Residual(w))
        self.deep = nn.Sequential(block(w, w * 2, 2), Residual(w * 2), Residual(w * 2))
        self.back = nn.Sequential(nn.Conv2d(w * 2, w, 1, bias=False), nn.BatchNorm2d(w))
        self.join = Residual(w)
        self.heat = nn.Conv2d(w, 1, 3, padding=1)
        self.say = nn.Linear(w * 4, 1)
        axis = torch.arange(PATCH_SIDE_PX // 2, dtype=torch.float32) * 2 + 0.5
        self.register_buffer("axis", axis, persistent=False)

    def maps(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Heat [N,1,S/2,S/2] before the softmax, and `said`."""
        fine = self.stem(standardised(image))
        deep = self.deep(fine)
        up = nn.functional.interpolate(self.back(deep), scale_factor=2.0, mode="nearest")
        heat = self.heat(self.join(torch.relu(fine + up)))
        return heat, self.say(torch.cat([deep.mean((2, 3)), deep.amax((2, 3))], 1))

    def expected(self, heat: Tensor) -> Tensor:
        """The softmax's centre of mass, [N,1,2]."""
        share = torch.softmax(heat.flatten(2), 2).reshape(heat.shape)
        return torch.stack([(share.sum(2) * self.axis).sum(2), (share.sum(3) * self.axis).sum(2)], 2)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        heat, said = self.maps(image)
        return self.expected(heat), said


def _graph(module: nn.Module, path: Path, shape: tuple[int, int, int, int], dynamic: dict[int, str]) -> onnx.ModelProto:
    torch.onnx.export(
        module.eval(),
        (torch.zeros(shape),),
        str(path),
        input_names=["image"],
        output_names=list(OUTPUTS),
        opset_version=OPSET,
        dynamic_axes={"image": dynamic} if dynamic else None,
        dynamo=False,
    )
    model = onnx.load(str(path))
    path.unlink()
    return model


def _branch(name: str, model: onnx.ModelProto) -> onnx.GraphProto:
    """A model's graph as a branch that takes "image" from outside; names must differ between branches."""
    graph = model.graph
    for node in graph.node:
        node.name = f"{name}/{node.name}"
        node.input[:] = [i if i in ("image", "") else f"{name}/{i}" for i in node.input]
        node.output[:] = [f"{name}/{o}" for o in node.output]
    for initial in graph.initializer:
        initial.name = f"{name}/{initial.name}"
    ends = [helper.make_tensor_value_info(f"{name}/{o}", TensorProto.FLOAT, shape) for o, shape in OUTPUTS.items()]
    return helper.make_graph(list(graph.node), name, [], ends, initializer=list(graph.initializer))


def export(coarse: Coarse, fine: Fine, valley: Valley, path: Path, facts: dict[str, str]) -> None:
    """Write the three networks as one file with `facts` ("version", "made_by", "licence", ...) as its metadata.

    Inputs: "image" float32 [N,1,H,W] in 0..1, and two bool [] that choose: "close" False for the whole frame made small; else "patch"
    False for an upright piece (N = 1), True for the patches around the valleys (N = 3).
    Outputs "points" and "said": for the whole frame the map [COARSE_CHANNELS, H/8, W/8] and nothing; for a piece [POINTS, 2, 1] and
    [POINTS + 3]; for patches [3, 2, 1] and [3].
    """
    part = path.with_suffix(".part")
    side = FINE_SIDE_PX
    whole = _branch("whole", _graph(_FlatCoarse(coarse), part, (1, 1, 112, 160), {2: "height", 3: "width"}))
    piece = _branch("piece", _graph(_FlatFine(fine), part, (1, 1, side, side), {}))
    patch = _branch("valley", _graph(_FlatValley(valley), part, (3, 1, PATCH_SIDE_PX, PATCH_SIDE_PX), {}))
    near_ends = [helper.make_tensor_value_info(f"near/{o}", TensorProto.FLOAT, shape) for o, shape in OUTPUTS.items()]
    inner = helper.make_node("If", ["patch"], [f"near/{o}" for o in OUTPUTS], then_branch=patch, else_branch=piece)
    near = helper.make_graph([inner], "near", [], near_ends)
    choice = helper.make_node("If", ["close"], list(OUTPUTS), then_branch=near, else_branch=whole)
    top = helper.make_graph(
        [choice],
        "hand",
        [
            helper.make_tensor_value_info("image", TensorProto.FLOAT, ["pictures", 1, "height", "width"]),
            helper.make_tensor_value_info("close", TensorProto.BOOL, []),
            helper.make_tensor_value_info("patch", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in OUTPUTS.items()],
    )
    model = helper.make_model(top, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    helper.set_model_props(model, facts)
    onnx.checker.check_model(model)
    onnx.save(model, str(part))
    part.replace(path)


class _FlatCoarse(nn.Module):  # type: ignore[misc]
    def __init__(self, coarse: Coarse) -> None:
        super().__init__()
        self.inner = coarse

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        out = self.inner(image)[0]
        return out, out.flatten()[:0]


class _FlatFine(nn.Module):  # type: ignore[misc]
    def __init__(self, fine: Fine) -> None:
        super().__init__()
        self.inner = fine

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        points, said = self.inner(image)
        return points[0][:, :, None], said[0]


class _FlatValley(nn.Module):  # type: ignore[misc]
    def __init__(self, valley: Valley) -> None:
        super().__init__()
        self.inner = valley

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        points, said = self.inner(image)
        return points[:, 0][:, :, None], said[:, 0]
