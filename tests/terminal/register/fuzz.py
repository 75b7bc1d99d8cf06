"""Millions of inputs at every decoder of register bytes: `python -m tests.terminal.register.fuzz --inputs 10000000`.

Inputs are worked frames with bytes changed, lost, doubled, cut, glued and mixed with noise, from a seed. A target must neither
raise (but what it announces) nor grow: the resident memory is looked at all along.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from random import Random

from terminal.checkout import Outcome
from terminal.config import RegisterOptions, Shop
from terminal.register import PROTOCOLS, open_machine
from terminal.register.machine import Abort, Action, Answer, Ask, Machine
from terminal.register.till import zvt_codec
from terminal.register.trace import DESCRIBERS, Describer
from terminal.register.zvt import bmp, tlv
from terminal.register.zvt.apdu import MalformedError, parse
from terminal.register.zvt.frame import Unwrapper
from terminal.register.zvt.words import describe

GROWTH_KIB_MAX = 32 * 1024  # of resident memory over a whole run, after warming up
LOOK_EVERY = 20_000  # inputs
AFRESH_EVERY = 64  # inputs that one machine sees before a new one takes its place
PIECES_MAX = 4

_ZVT = (
    "06 00 06 12 34 56 BE 09 78", "06 00 10 12 34 56 BE 09 78 03 01 06 06 26 04 0A 02 06 D3",
    "06 01 0A 04 00 00 00 00 10 10 49 09 78",
    "80 00 00", "84 9C 00", "84 9D 07 04 00 00 00 00 05 00", "06 B0 00", "06 02 00", "05 01 03 12 34 56", "06 23 03 87 FF FF",
    "06 22 0A 04 00 00 00 00 50 00 49 09 78", "06 24 0D 87 00 01 04 00 00 00 00 12 34 49 09 78", "06 30 06 12 34 56 87 00 01",
    "06 20 05 12 34 56 03 01", "06 50 03 12 34 56", "06 70 00", "08 40 01 07", "06 E0 05 F1 F0 F2 41 42",
    "06 01 FF 0B 00 04 00 00 00 00 12 34 06 02 1F 1F", "06 91 0B 00 00 00 AA 26 11 23 0C 19 45 00",
)  # fmt: skip

SEEDS: dict[str, tuple[bytes, ...]] = {
    "zvt": (*(zvt_codec.frame(bytes.fromhex(m)) for m in _ZVT), b"\x06", b"\x15"),
    "concert": (
        b"\x05",
        b"\x06",
        b"\x04",
        b"\x020100001234110978          A010B010\x03\x03",
        b"\x020100001234110978          \x03\x03",
    ),
    "concert-v3": (b"CZ0040300CJ012012345678901CA00201CE003978BA0010CD0010CB0041234",),
    "ecr17": (b"\x02123456780s\x037", b"\x06\x03\x7a", b"\x02123456780P000000010000000001234" + b" " * 128 + b"00000000\x03!"),
    "transbank": (b"\x020200|1234|TICK01|||1|\x03\x20", b"\x020100\x03\x02", b"\x06"),
}
FRAMES = {"zvt-tcp": tuple(zvt_codec.cut_frame(f)[1] or f for f in SEEDS["zvt"])}


def inputs(rng: Random, seeds: tuple[bytes, ...]) -> Iterator[bytes]:
    """One spoilt input after the other, without end."""
    while True:
        data = bytearray()
        for _ in range(rng.randint(1, PIECES_MAX)):
            data += rng.choice(seeds) if rng.random() < 0.9 else rng.randbytes(rng.randint(0, 12))
        for _ in range(rng.choice((0, 0, 1, 1, 2, 5))):
            if not data:
                break
            at = rng.randrange(len(data))
            match rng.randrange(5):
                case 0:
                    data[at] = rng.randrange(256)
                case 1:
                    del data[at]
                case 2:
                    data.insert(at, data[at])
                case 3:
                    del data[at:]
                case _:
                    data[at] ^= 1 << rng.randrange(8)
        yield bytes(data)


class MachineTarget:
    """A whole protocol machine: bytes in, time on, answers given; a new machine now and then."""

    def __init__(self, options: dict[str, str], seed: int) -> None:
        self._options = RegisterOptions.model_validate(options)
        self._rng = Random(seed)
        self._count = 0
        self._now_s = 0.0
        self._machine = self._fresh()

    def _fresh(self) -> Machine:
        machine = open_machine(self._options, Shop(), {})
        machine.line_opened(self._now_s)
        return machine

    def __call__(self, data: bytes) -> None:
        self._count += 1
        if self._count % AFRESH_EVERY == 0:
            self._machine = self._fresh()
        self._serve(self._machine.received(data, self._now_s))
        due = self._machine.next_deadline_s
        if due is not None and self._rng.random() < 0.3:
            self._now_s = max(self._now_s, due)
            self._serve(self._machine.ticked(self._now_s))

    def _serve(self, actions: list[Action]) -> None:
        todo = list(actions)
        while todo:
            action = todo.pop(0)
            if isinstance(action, Ask) and self._rng.random() < 0.7:
                outcome = self._rng.choice(list(Outcome))
                answer = Answer(action.number, outcome, needs_confirmation=outcome is Outcome.APPROVED)
                todo += self._machine.answered(answer, self._now_s)
            elif isinstance(action, Abort):
                todo += self._machine.abort_answered(action.number, self._rng.random() < 0.5, self._now_s)


class WordsTarget:
    """A describer, fed from both sides."""

    def __init__(self, make: Callable[[], Describer]) -> None:
        self._make = make
        self._count = 0
        self._describer = make()

    def __call__(self, data: bytes) -> None:
        self._count += 1
        if self._count % AFRESH_EVERY == 0:
            self._describer = self._make()
        self._describer.feed("ECR" if self._count % 2 else "PT", data)


def zvt_codec_target(data: bytes) -> None:
    """Unwrapping, lengths, bitmaps, TLV and words of the terminal's codec."""
    for piece in Unwrapper().feed(data):
        raw = getattr(piece, "apdu", b"")
        with contextlib.suppress(MalformedError):
            describe(parse(raw))
    with contextlib.suppress(MalformedError, bmp.UnknownBitmapError):
        bmp.decode(data[5:])
    with contextlib.suppress(MalformedError):
        list(tlv.walk(data))


def zvt_register_target(data: bytes) -> None:
    """The register's own codec."""
    rest = data
    while rest:
        kind, message, used = zvt_codec.cut_frame(rest)
        if not kind:
            break
        rest = rest[used:]
        if kind == "message":
            with contextlib.suppress(ValueError):
                zvt_codec.Status.read(zvt_codec.data_of(message))


def targets(seed: int) -> dict[str, tuple[Callable[[bytes], None], tuple[bytes, ...]]]:
    """Every decoder with the frames that it is fed from."""
    found: dict[str, tuple[Callable[[bytes], None], tuple[bytes, ...]]] = {
        "zvt codec": (zvt_codec_target, SEEDS["zvt"]),
        "zvt register": (zvt_register_target, SEEDS["zvt"]),
        "zvt-tcp machine": (MachineTarget({"protocol": "zvt", "line": "tcp"}, seed), FRAMES["zvt-tcp"]),
    }
    for protocol in PROTOCOLS:
        found[f"{protocol} machine"] = (MachineTarget({"protocol": protocol}, seed), SEEDS.get(protocol, SEEDS["zvt"]))
    for protocol, make in DESCRIBERS.items():
        found[f"{protocol} words"] = (WordsTarget(make), SEEDS.get(protocol, SEEDS["zvt"]))
    return found


def resident_kib() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def fuzz(name: str, target: Callable[[bytes], None], seeds: tuple[bytes, ...], count: int, seed: int) -> str | None:
    """Feed `count` inputs; the first that goes wrong as a sentence, or None."""
    source = inputs(Random(seed), seeds)
    before_kib = 0
    for at in range(count):
        data = next(source)
        try:
            target(data)
        except Exception as error:
            return f"{name}: input {at} raised {type(error).__name__}: {error}; bytes {data.hex(' ')}"
        if at == min(count // 4, LOOK_EVERY):
            before_kib = resident_kib()
        elif at % LOOK_EVERY == 0 and before_kib and resident_kib() - before_kib > GROWTH_KIB_MAX:
            return f"{name}: memory grew by {resident_kib() - before_kib} KiB after {at} inputs"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000_000, help="at each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="targets whose name contains this")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="targets at the same time")
    arguments = parser.parse_args()
    chosen = [name for name in targets(arguments.seed) if arguments.only in name]
    good = True
    with ProcessPoolExecutor(max(1, min(arguments.jobs, len(chosen)))) as pool:
        running = [pool.submit(fuzz_named, name, arguments.inputs, arguments.seed) for name in chosen]
        for done in as_completed(running):
            fine, sentence = done.result()
            print(sentence, flush=True)
            good = good and fine
    return 0 if good else 1


def fuzz_named(name: str, count: int, seed: int) -> tuple[bool, str]:
    """One target in a process of its own: did it hold, and a sentence."""
    logging.disable(logging.CRITICAL)
    target, seeds = targets(seed)[name]
    began = time.monotonic()
    trouble = fuzz(name, target, seeds, count, seed)
    took_s = max(time.monotonic() - began, 1e-9)
    peak = f"{resident_kib() // 1024} MiB at most"
    return trouble is None, trouble or f"{name}: {count} inputs, {count / took_s:.0f} a second, nothing raised, {peak}"


if __name__ == "__main__":
    sys.exit(main())
