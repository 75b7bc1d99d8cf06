"""Training samples of the hand finder: a frame of the pool, turned, exposed and put in front of a background, as networks see it.

Everything is drawn from one seed for each sample, so that a training that was killed goes on with the same samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.hand_pool import SIDE_PX, Pool
from terminal.palm.finder_network import CELL_PX, OFFSET_UNIT_PX
from terminal.palm.geometry import (
    FINE_SIDE_PX,
    STRIP_HEIGHT_PX,
    STRIP_WIDTH_PX,
    patch_corners,
    patches_of,
    piece_from_frame,
    strip_from_frame,
)

F32 = NDArray[np.float32]

COARSE_SHAPES = ((112, 160), (112, 160), (96, 160), (128, 160), (160, 160), (160, 112))
"""(height, width): a batch has one shape; the finder's long side is 160."""

LEFT, RIGHT, OTHER = 0, 1, 2
"""Channels of the coarse map's logits."""

HEAT_SPANS = 0.42
"""Standard deviation of a centre's blob in the coarse target, in valley spans."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One hand in a sample: points float32 [4, 2] (valleys, wrist) in pixels of the sample, kind LEFT, RIGHT or OTHER."""

    points: F32
    kind: int

    @property
    def span(self) -> float:
        """In pixels of the sample."""
        return float(np.hypot(*(self.points[0] - self.points[2])))


def background(rng: np.random.Generator, height: int, width: int) -> F32:
    """What is behind a hand, 0..1: mostly next to nothing, else a glow, clutter, cloth, a bright wall."""
    kind = rng.random()
    if kind < 0.4:
        return np.full((height, width), rng.uniform(0, 0.04), np.float32)
    canvas = np.full((height, width), rng.uniform(0, 0.5) if kind < 0.8 else rng.uniform(0.4, 1.0), np.float32)
    cells = int(rng.integers(2, 9))
    glow = rng.normal(0, rng.uniform(0.02, 0.25), (cells, cells)).astype(np.float32)
    canvas += cv2.resize(glow, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(int(rng.integers(0, 12))):
        _thing(rng, canvas)
    if rng.random() < 0.3:  # cloth, wood, print: texture of one scale
        grain = rng.normal(0, rng.uniform(0.02, 0.15), (height, width)).astype(np.float32)
        canvas += cv2.GaussianBlur(grain, (0, 0), float(rng.uniform(0.4, 2.0))) * 2
    return np.asarray(np.clip(cv2.GaussianBlur(canvas, (0, 0), float(rng.uniform(0.3, 1.6))), 0, 1), np.float32)


def _thing(rng: np.random.Generator, canvas: F32) -> None:
    """Blobs, boxes, bars and bundles of bars, which hands are not."""
    height, width = canvas.shape
    level = float(rng.uniform(0, 1.0))
    x, y = (int(v) for v in rng.uniform((-0.1 * width, -0.1 * height), (1.1 * width, 1.1 * height)))
    size = width * rng.uniform(0.02, 0.28, 2)
    turn = float(rng.uniform(0, 180))
    kind = rng.integers(4)
    if kind == 0:
        cv2.ellipse(canvas, (x, y), (int(size[0]), int(size[1])), turn, 0, 360, level, -1, cv2.LINE_AA)
    elif kind == 1:
        box = cv2.boxPoints(((x, y), (2 * float(size[0]), 2 * float(size[1])), turn))
        cv2.fillConvexPoly(canvas, box.astype(np.int32), level, cv2.LINE_AA)
    else:
        heading = np.deg2rad(turn * 2)
        step, thick = size[1] * 0.6, max(1, int(size[1] * 0.35))
        for k in range(1 if kind == 2 else int(rng.integers(3, 7))):
            angle = heading + rng.normal(0, 0.08)
            x0, y0 = x + k * step * np.sin(heading), y - k * step * np.cos(heading)
            end = (int(x0 + 2 * size[0] * np.cos(angle)), int(y0 + 2 * size[0] * np.sin(angle)))
            cv2.line(canvas, (int(x0), int(y0)), end, level, thick, cv2.LINE_AA)


def clutter(rng: np.random.Generator, side: int) -> F32:
    """A square of what is no hand, often as busy as a hand is: things, print, smooth bodies, the edge of a shape; 0..1."""
    kind = rng.random()
    if kind < 0.35:
        return background(rng, side, side)
    paper, ink = rng.uniform(0.0, 1.0, 2)
    image = np.full((side, side), paper, np.float32)
    if kind < 0.7:  # lines of print, boxes, rules
        pitch = int(rng.integers(5, 24))
        for y in range(int(rng.integers(0, pitch)), side, pitch):
            x = int(rng.integers(0, side // 3))
            while x < side:
                length = int(rng.exponential(8)) + 2
                if rng.random() < 0.75:
                    cv2.line(image, (x, y), (x + length, y), float(ink), max(1, pitch // 4), cv2.LINE_AA)
                x += length + int(rng.integers(2, 9))
        for _ in range(int(rng.integers(0, 4))):
            low, high = rng.integers(0, side, (2, 2)).tolist()
            cv2.rectangle(image, low, high, float(rng.uniform(0, 1)), int(rng.choice([-1, 1, 2])), cv2.LINE_AA)
    else:  # one smooth body, as a finger or a cup is, shaded to its edges
        x, y = np.meshgrid(np.arange(side, dtype=np.float32) - side / 2, np.arange(side, dtype=np.float32) - side / 2)
        turn = rng.normal(0, 0.4)
        across = x * np.cos(turn) + y * np.sin(turn) - rng.normal(0, 12)
        along = y * np.cos(turn) - x * np.sin(turn) - rng.normal(0, 40)
        half_width, half_length = rng.uniform(12, 60), rng.uniform(30, 120)
        body = np.clip(1 - np.abs(across / half_width) ** rng.uniform(2, 6) - np.abs(along / half_length) ** 6, 0, 1)
        image += (np.float32(ink) - image) * np.sqrt(body).astype(np.float32)
    turned = cv2.getRotationMatrix2D((side / 2, side / 2), float(rng.choice([0, 90, 180, 270]) + rng.normal(0, 8)), 1.0)
    return np.asarray(np.clip(cv2.warpAffine(image, turned, (side, side), borderMode=cv2.BORDER_REPLICATE), 0, 1), np.float32)


def _lit(rng: np.random.Generator, frame: F32) -> F32:
    """A hand's frame (0..255) as another reader would light it, 0..1: level, gamma, clipping, a hot spot or a shadow over it."""
    bright = float(np.percentile(frame[::4, ::4], 97)) + 1.0
    level = float(np.exp(rng.uniform(np.log(0.10), np.log(1.15))))
    hand = np.minimum(frame * np.float32(1 / bright), 1.6)
    if rng.random() < 0.5:
        hand = hand ** np.float32(rng.uniform(0.6, 1.5))
    hand = hand * np.float32(level)
    if rng.random() < 0.4:
        height, width = hand.shape
        x, y = rng.uniform(-0.2, 1.2, 2) * (width, height)
        reach = rng.uniform(0.2, 0.8) * width
        gx = np.exp(-(((np.arange(width) - x) / reach) ** 2)).astype(np.float32)
        gy = np.exp(-(((np.arange(height) - y) / reach) ** 2)).astype(np.float32)
        hand = hand * (1 + np.float32(rng.uniform(-0.7, 1.5)) * gy[:, None] * gx[None])
    return np.asarray(hand, np.float32)


def _degraded(rng: np.random.Generator, image: F32) -> F32:
    """Occlusion, blur, noise and the eight bits of a camera; 0..1."""
    height, width = image.shape
    if rng.random() < 0.3:  # pegs, fingers of somebody else, a ring, a reflection
        for _ in range(int(rng.integers(1, 6))):
            centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
            radius = max(1, int(width * rng.uniform(0.006, 0.03)))
            cv2.circle(image, centre, radius, float(rng.uniform(0, 1)), -1, cv2.LINE_AA)
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.8)))
    if rng.random() < 0.15:  # motion
        length, angle = int(rng.integers(3, 8)), rng.uniform(0, np.pi)
        kernel = np.zeros((length, length), np.float32)
        middle = (length - 1) / 2
        away = middle * np.array([np.cos(angle), np.sin(angle)])
        ends = np.rint(np.stack([middle - away, middle + away])).astype(int).tolist()
        cv2.line(kernel, ends[0], ends[1], 1.0, 1)
        image = cv2.filter2D(image, -1, kernel / kernel.sum())
    noise = rng.standard_normal((height, width), np.float32) * np.float32(rng.exponential(0.008))
    return np.asarray(np.rint(np.clip(image + noise, 0, 1) * 255) * np.float32(1 / 255), np.float32)


def _covered(frame: NDArray[np.uint8]) -> F32:
    """How far the hand (dark behind it) covers each pixel, 0..1."""
    soft = cv2.GaussianBlur(frame, (0, 0), 0.8).astype(np.float32)
    return np.asarray(np.clip((soft - 3.0) * np.float32(1 / 9), 0, 1), np.float32)


def _turned(points: F32, matrix: NDArray[np.floating]) -> F32:
    return np.asarray((points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32), np.float32)


def _finer(matrix: NDArray[np.floating], times: int) -> NDArray[np.floating]:
    """The same map to a picture with so many times as many pixels each way."""
    fine = matrix * times
    fine[:, 2] += 0.5 * (times - 1)
    return fine


def _points(pool: Pool, index: int) -> F32:
    return np.concatenate([pool.truths["valleys"][index], pool.truths["wrist"][index][None]])


def _placing(rng: np.random.Generator, points: F32, height: int, width: int) -> F32:
    """An affine map [2, 3] that turns, mirrors, scales and shifts a hand of the pool into a coarse frame."""
    middle = 0.5 * (0.5 * (points[0] + points[2]) + points[3])
    span = float(np.hypot(*(points[0] - points[2])))
    wanted = float(np.exp(rng.uniform(np.log(0.085), np.log(0.34)))) * 160
    scale = wanted / max(span, 4.0)
    draw = rng.random()
    spread = 25 if draw < 0.5 else 75
    angle = np.deg2rad(rng.uniform(-180, 180) if draw > 0.88 else rng.normal(0, spread))
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    linear = np.array([[c * mirror, -s], [s * mirror, c]])
    aim = np.array([width, height]) * (0.5 + rng.normal(0, (0.13, 0.16)).clip(-0.42, 0.42))
    return np.concatenate([linear, (aim - linear @ middle)[:, None]], 1).astype(np.float32)


def coarse_sample(pool: Pool, rng: np.random.Generator, height: int, width: int) -> tuple[F32, list[Shown]]:
    """A whole frame made small, float32 [height, width] 0..1, and the hands in it (none, one, now and then two)."""
    image = background(rng, height, width)
    count = int(rng.choice(3, p=(0.1, 0.82, 0.08)))
    shown: list[Shown] = []
    for _ in range(count):
        index = int(rng.integers(len(pool.frames)))
        points = _points(pool, index)
        matrix = _placing(rng, points, height, width)
        placed = _turned(points, matrix)
        size = 2 if np.hypot(matrix[0, 0], matrix[1, 0]) < 0.6 else 1  # small hands: two steps, so that nothing aliases
        shift = _finer(matrix, size)
        frame = cv2.warpAffine(pool.frames[index], shift, (width * size, height * size), flags=cv2.INTER_LINEAR)
        if size > 1:
            frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
        cover = _covered(frame)
        hand = _lit(rng, frame.astype(np.float32))
        behind = image * (1 - cover)
        # In its own light a hand's fringe is dark; in a window's, what is behind it shines over the fringe.
        image = behind + hand * cover if rng.random() < 0.5 else np.maximum(behind, hand)
        subject = int(pool.truths["subject"][index])
        if subject == 3:
            continue
        left = bool(pool.truths["left"][index]) != bool(np.linalg.det(matrix[:, :2]) < 0)
        shown.append(Shown(placed, OTHER if subject else LEFT if left else RIGHT))
    return _degraded(rng, image), shown


def coarse_targets(shown: list[Shown], height: int, width: int) -> tuple[F32, F32, F32]:
    """Heat [3, H/8, W/8] 0..1, offsets [8, H/8, W/8] and where these count, [H/8, W/8].

    The valleys' offsets come in the order in which they lie in the picture when the fingers are up, from the right: where the network
    can't tell a left hand from a right one, it still knows where the valleys are.
    """
    rows, columns = height // CELL_PX, width // CELL_PX
    heat = np.zeros((3, rows, columns), np.float32)
    offsets = np.zeros((8, rows, columns), np.float32)
    weight = np.zeros((rows, columns), np.float32)
    x = (np.arange(columns, dtype=np.float32) + 0.5) * CELL_PX - 0.5
    y = (np.arange(rows, dtype=np.float32) + 0.5) * CELL_PX - 0.5
    for hand in shown:
        centre = 0.5 * (0.5 * (hand.points[0] + hand.points[2]) + hand.points[3])
        sigma = max(HEAT_SPANS * hand.span, 5.0)
        blob = np.exp(-0.5 * ((x[None] - centre[0]) ** 2 + (y[:, None] - centre[1]) ** 2) / sigma**2).astype(np.float32)
        heat[hand.kind] = np.maximum(heat[hand.kind], blob)
        if hand.kind == OTHER:
            continue
        nearer = blob > np.maximum(weight, 0.25)
        order = (2, 1, 0, 3) if hand.kind == LEFT else (0, 1, 2, 3)
        for k, (px, py) in enumerate(hand.points[list(order)]):
            offsets[2 * k][nearer] = ((px - x[None] + 0 * y[:, None]) / OFFSET_UNIT_PX)[nearer]
            offsets[2 * k + 1][nearer] = ((py - y[:, None] + 0 * x[None]) / OFFSET_UNIT_PX)[nearer]
        weight = np.where(nearer, blob, weight)
    return heat, offsets, weight


@dataclass(frozen=True, slots=True)
class FineSample:
    """A piece float32 [FINE_SIDE_PX, FINE_SIDE_PX] 0..1, points float32 [4, 2], valid 1 / 0 / -1 (not judged), yaw, pitch in degrees."""

    image: F32
    points: F32
    valid: float
    angles: tuple[float, float]


def fine_sample(pool: Pool, rng: np.random.Generator) -> FineSample:
    """A piece around a hand, as upright as the coarse network or the last frame leave it; now and then around something else."""
    index = int(rng.integers(len(pool.frames)))
    truth = pool.truths[index]
    points = _points(pool, index)
    subject = int(truth["subject"])
    span = max(4.0, float(np.hypot(*(points[0] - points[2]))))
    seen_left = bool(truth["left"]) != (subject == 1)  # the back of a left hand has the outline of a right palm
    # A tracked hand, a first coarse look, and a first look that mistook one gap of fingers for the next.
    spread = ((0.06, 4.0, 0.04), (0.20, 11.0, 0.12), (0.38, 18.0, 0.22))[int(rng.choice(3, p=(0.45, 0.3, 0.25)))]
    guess = points + rng.normal(0, spread[0] * span, 2).astype(np.float32)
    guess = guess + rng.normal(0, 0.25 * spread[0] * span, (4, 2)).astype(np.float32)
    mirrored = seen_left
    valid = 1.0 if subject == 0 else 0.0
    wrong = rng.random()
    if wrong < 0.18:  # the wrong hand
        mirrored, valid = not mirrored, 0.0
    elif wrong < 0.23:  # not where the hand is, or askew
        guess = guess + np.float32(span) * rng.normal(0, 1.6, 2).astype(np.float32)
        away = float(np.hypot(*(guess - points).mean(0))) / span
        valid = 0.0 if away > 1.1 else min(valid, 1.0) if away < 0.5 else -1.0
        if subject:
            valid = 0.0
    turn = rng.normal(0, spread[1])
    scale = float(np.exp(rng.normal(0, spread[2])))
    if wrong > 0.97:
        turn, valid = rng.uniform(60, 300), 0.0
    elif wrong > 0.92:  # skin and fingers far too near or too far to be a hand in a piece
        scale, valid = float(rng.choice([rng.uniform(2.2, 6.0), rng.uniform(0.25, 0.45)])), 0.0
        guess = guess + np.float32(span) * rng.normal(0, 0.8, 2).astype(np.float32)
    matrix = piece_from_frame(guess[:3], guess[3], mirrored, float(turn), scale)
    side = FINE_SIDE_PX
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    double = 2 if scale < 0.7 else 1
    frame = cv2.warpAffine(
        pool.frames[index],
        _finer(matrix, double),
        (side * double, side * double),
    )
    if double > 1:
        frame = cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA)
    cover = _covered(frame)
    image = background(rng, side, side) * (1 - cover)
    hand = _lit(rng, frame.astype(np.float32))
    image = image + hand * cover if rng.random() < 0.5 else np.maximum(image, hand)
    image = _edges(rng, image, matrix)
    if rng.random() < 0.12:  # nothing but a background
        image, valid = clutter(rng, side), 0.0
    flip = -1.0 if mirrored else 1.0
    return FineSample(_degraded(rng, image), _turned(points, matrix), valid, (flip * float(truth["yaw"]), float(truth["pitch"])))


@dataclass(frozen=True, slots=True)
class ValleySample:
    """Patches float32 [3, S, S] 0..1 around the valleys of one hand and the valleys float32 [3, 2] in pixels of their patches."""

    patches: F32
    points: F32


VALLEY_SPAN_MIN_PX = 44.0
"""Hands of the pool that are smaller than this would teach the patches blur."""


def valley_sample(pool: Pool, rng: np.random.Generator) -> ValleySample:
    """The surroundings of three valleys, about where the close look leaves them."""
    while True:
        index = int(rng.integers(len(pool.frames)))
        points = _points(pool, index)
        span = float(np.hypot(*(points[0] - points[2])))
        inside = ((points[:3] > 2) & (points[:3] < SIDE_PX - 3)).all()
        if int(pool.truths["subject"][index]) == 0 and span >= VALLEY_SPAN_MIN_PX and inside:
            break
    spread = 0.025 if rng.random() < 0.7 else 0.07
    guess = points + rng.normal(0, spread * span, (4, 2)).astype(np.float32) * np.array([[1], [1], [1], [3]], np.float32)
    mirrored = bool(pool.truths["left"][index])
    turn, scale = float(rng.normal(0, 2.5)), float(np.exp(rng.normal(0, 0.06)))
    matrix = strip_from_frame(guess[:3], guess[3], mirrored, turn, scale)
    step = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    times = 2 if step < 0.7 else 1
    size = (STRIP_WIDTH_PX, STRIP_HEIGHT_PX)
    frame = cv2.warpAffine(pool.frames[index], _finer(matrix, times), (size[0] * times, size[1] * times), flags=cv2.INTER_LINEAR)
    if times > 1:
        frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    cover = _covered(frame)
    hand = _lit(rng, frame.astype(np.float32))
    behind = background(rng, STRIP_HEIGHT_PX // 2, STRIP_WIDTH_PX // 2)  # out of focus, and a quarter of the work
    behind = cv2.resize(behind, size, interpolation=cv2.INTER_LINEAR) * (1 - cover)
    strip = behind + hand * cover if rng.random() < 0.5 else np.maximum(behind, hand)
    if rng.random() < 0.3:  # what shows in a gap: pegs, a ring's edge, cloth
        for _ in range(int(rng.integers(1, 4))):
            centre = (int(rng.uniform(0, size[0])), int(rng.uniform(0, 0.6 * size[1])))
            cv2.circle(strip, centre, int(rng.integers(2, 9)), float(rng.uniform(0, 1)), -1, cv2.LINE_AA)
    strip = _degraded(rng, strip)
    placed = _turned(points[:3], matrix)
    corners = patch_corners(_turned(guess[:3], matrix))
    return ValleySample(np.asarray(patches_of(strip, corners), np.float32), (placed - corners).astype(np.float32))


def _edges(rng: np.random.Generator, image: F32, matrix: NDArray[np.floating]) -> F32:
    """What lies outside of the camera's frame is black in a piece: now and then one or two sides are cut off."""
    side = image.shape[0]
    corners = np.array([[0, 0], [SIDE_PX, 0], [SIDE_PX, SIDE_PX], [0, SIDE_PX]], np.float32)
    inside = np.zeros((side, side), np.uint8)
    cv2.fillConvexPoly(inside, np.rint(_turned(corners, matrix)).astype(np.int32), 1)
    if rng.random() < 0.35:
        angle = rng.choice([rng.normal(-90, 25), rng.uniform(0, 360)])
        normal = np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))])
        reach = rng.uniform(0.28, 0.55) * side
        x, y = np.meshgrid(np.arange(side) - side / 2, np.arange(side) - side / 2)
        inside &= (x * normal[0] + y * normal[1] < reach).astype(np.uint8)
    return image * inside
