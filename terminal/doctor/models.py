"""The models, loaded and timed in a process of their own: a library that dies with an illegal instruction takes only that one along."""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from terminal.config import PalmOptions
from terminal.doctor.finding import Finding

LIMIT_S = 60.0
RUNS = 20
SLOW_MS = 60.0
"""For one signature in both lights; a Pi 4 should be below."""


def look(options: PalmOptions) -> list[Finding]:
    """Start the child and read what it says."""
    command = [sys.executable, "-m", "terminal.doctor.models", options.model_dump_json()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return [
            Finding("models", False, f"no answer within {LIMIT_S:g} s", "The board is too slow or too busy; look at the supply.")
        ]
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        advice = "This build of onnxruntime does not run on this board. Install the version that the image was made with."
        return [Finding("models", False, f"the process died ({name})", advice)]
    try:
        said = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        said = {"error": (done.stderr.strip().splitlines() or ["it said nothing"])[-1]}
    if "error" in said:
        return [Finding("models", False, str(said["error"]), "Put the released hand.onnx and palm.onnx back.")]
    findings = [_timed(said)]
    if said.get("other_ms") and said["other_ms"] < 0.8 * said["encode_ms"]:
        advice = f"{said['other']} takes {said['other_ms']:.1f} ms here; name it in [palm] palm_model."
        findings.append(Finding("models", None, "the other encoder is faster on this board", advice))
    return findings


def _timed(said: dict[str, float]) -> Finding:
    text = f"{said['version']}: loaded in {said['load_s']:.1f} s, signature {said['encode_ms']:.1f} ms, search {said['find_ms']:.1f} ms"
    if said["encode_ms"] > SLOW_MS:
        return Finding("models", None, text, "Slow: shoppers will wait. Look at supply, temperature and other programs.")
    return Finding("models", True, text)


def _median_ms(times_s: list[float]) -> float:
    return round(statistics.median(times_s) * 1000, 2)


def measure(options: PalmOptions) -> dict[str, object]:
    """Load and time; in the child. Raises ModelError."""
    import numpy as np

    from terminal.palm.encoder import Encoder, encoder_path
    from terminal.palm.finder import HandFinder

    began_s = time.perf_counter()
    finder, encoder = HandFinder(options.hand_model, options.threads), Encoder(options.palm_model, options.threads)
    said: dict[str, object] = {"load_s": round(time.perf_counter() - began_s, 2), "version": encoder.version}
    rng = np.random.default_rng(1)
    palms = rng.integers(0, 255, (2, 128, 128), np.uint8)
    image = rng.integers(0, 255, (400, 640), np.uint8)

    def timed(work: object, *given: object) -> list[float]:
        out = []
        for _ in range(RUNS):
            start_s = time.perf_counter()
            work(*given)  # type: ignore[operator]
            out.append(time.perf_counter() - start_s)
        return out

    said["encode_ms"] = _median_ms(timed(encoder.encode, palms))
    said["find_ms"] = _median_ms(timed(finder.find, image))
    here = encoder_path(options.palm_model)
    other = here.with_name("palm.int8.onnx" if here.name == "palm.onnx" else "palm.onnx")
    if other.is_file() and other != here:
        said["other"], said["other_ms"] = other.name, _median_ms(timed(Encoder(Path(other), options.threads).encode, palms))
    return said


def main() -> None:
    """The child: one line of JSON."""
    try:
        said = measure(PalmOptions.model_validate_json(sys.argv[1]))
    except Exception as error:
        said = {"error": str(error)}
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
