"""What doctor looks at, in this order. Programs are started before there is a gRPC channel, never after."""

from __future__ import annotations

import asyncio
import datetime
import platform
import sys
import time
from collections import Counter
from importlib import metadata

from terminal import board, parts
from terminal.config import Config
from terminal.doctor import models
from terminal.doctor.finding import Finding
from terminal.doctor.places import disk, page, register
from terminal.reader.frame import Light, Pace, ReaderError
from terminal.service import Link, ServiceLost
from terminal.service.diagnosis import clock_trouble, files_trouble, read_certificate

READER_FRAMES = 60
READER_LIMIT_S = 15.0
RATE_SHARE_MIN = 0.8
EXPIRY_NOTE_DAYS = 30
SLOW_ANSWER_MS = 150.0
NO_HAND = "This is no camera: nobody can pay with a hand. In a shop, [reader] kind must be picamera2."
PACKAGES = ("palm-till", "numpy", "opencv-python-headless", "onnxruntime", "grpcio", "pyserial")


async def examine(config: Config) -> list[Finding]:
    """Look at everything. Takes up to a minute where much is wrong."""
    findings = [Finding("configuration", True, f"till {config.shop.till}, {config.shop.currency}"), *versions(), *supply()]
    findings += await asyncio.to_thread(models.look, config.palm)
    findings += await asyncio.to_thread(reader, config)
    findings += [disk(config), *register(config.cash_register), page(config.display)]
    findings += [clock(), *certificates(config)]
    findings.append(await service(config))
    return findings


def versions() -> list[Finding]:
    """What is installed."""
    said = []
    for name in PACKAGES:
        try:
            said.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            said.append(f"{name} missing")
    system = f"Python {platform.python_version()}, {platform.system()} {platform.release()} {platform.machine()}"
    where = board.model() or "no Pi"
    return [Finding("versions", True, f"{', '.join(said)}; {system}; {where}; {sys.prefix}")]


def supply() -> list[Finding]:
    """What the board says of its supply and its temperature."""
    said, warm = board.throttled(), board.temperature_c()
    warmth = "" if warm is None else f", {warm:.0f} °C"
    if said is None:
        return [Finding("supply", True, f"this board does not say{warmth}")]
    if not said:
        return [Finding("supply", True, f"strong enough{warmth}")]
    return [Finding("supply", False, ", ".join(said) + warmth, "Use the supply that came with the board, and let air to it.")]


def reader(config: Config) -> list[Finding]:
    """Frames come, at their rate, in every light."""
    options = config.reader
    try:
        device = parts.open_reader(options)
    except ReaderError as error:
        return [
            Finding("reader", False, f"{options.kind}: {error}", "Is the terminal running? Then stop it first. Check the cable.")
        ]
    lights: Counter[Light] = Counter()
    started_s = time.monotonic()
    try:
        device.pace(Pace.ACTIVE)
        while lights.total() < READER_FRAMES and time.monotonic() - started_s < READER_LIMIT_S:
            lights[device.read(max(2.0, options.frame_deadline_s)).light] += 1
            if lights.total() == READER_FRAMES // 3:
                measured_s = time.monotonic()
    except ReaderError as error:
        if not lights:
            return [Finding("reader", False, f"no frame ({error})", "Check the camera's ribbon cable, then restart the board.")]
    finally:
        device.close()
    count = lights.total()
    rate = (count - READER_FRAMES // 3) / max(1e-3, time.monotonic() - measured_s) if count > READER_FRAMES // 3 else 0.0
    said = f"{options.kind}: {rate:.0f} frames/s; " + ", ".join(f"{light.value} {n}" for light, n in lights.items())
    if options.kind == "replay":
        return [Finding("reader", None, said, NO_HAND)]
    if rate < RATE_SHARE_MIN * options.rate_hz:
        return [Finding("reader", False, said, f"Too few: {options.rate_hz:g} are expected. Look at supply and temperature.")]
    missing = [light.value for light in (Light.PARALLEL, Light.CROSSED, Light.DARK) if not lights[light]]
    if missing:
        return [Finding("reader", False, said, f"No frame is {' or '.join(missing)}. Check the cable of the infrared banks.")]
    if options.kind == "simulated":
        return [Finding("reader", None, said, NO_HAND)]
    return [Finding("reader", True, said)]


def clock() -> Finding:
    """Set, or plainly not."""
    trouble = clock_trouble()
    now = datetime.datetime.now().astimezone()
    if trouble is not None:
        return Finding("clock", False, f"{now:%Y-%m-%d %H:%M}", trouble.sentence)
    return Finding("clock", True, f"{now:%Y-%m-%d %H:%M %Z}")


def certificates(config: Config) -> list[Finding]:
    """There, a pair, for this till, and valid for a while."""
    options = config.service
    trouble = files_trouble(options, config.shop.till)
    if trouble is not None:
        return [Finding("certificates", False, "can't be used", trouble.sentence)]
    ends = min(read_certificate(path).not_after for path in (options.ca, options.certificate))
    left = (ends - datetime.datetime.now(datetime.UTC)).days
    if left < EXPIRY_NOTE_DAYS:
        return [Finding("certificates", None, f"valid for {left} more days", "Have new ones made and copied before that.")]
    return [Finding("certificates", True, f"palmpay://till/{config.shop.till}, valid until {ends:%Y-%m-%d}")]


async def service(config: Config) -> Finding:
    """Reachable, of the right authority, serving, and near enough."""
    link = Link(config.service, config.shop.till)
    link.start()
    try:
        await link.ready(2 * config.service.connect_deadline_s)
        began_s = time.monotonic()
        await link.check()
        took_ms = (time.monotonic() - began_s) * 1000
    except ServiceLost as error:
        return Finding("service", False, f"{config.service.address} can't be used", str(error))
    finally:
        await link.stop()
    said = f"{config.service.address} answers in {took_ms:.0f} ms"
    if took_ms > SLOW_ANSWER_MS:
        return Finding("service", None, said, "Slow: shoppers will notice. Look at the network.")
    return Finding("service", True, said)
