"""MediaPipe Hands on the frames of a .npz file; runs in MediaPipe's own environment and prints one JSON object.

usage: mediapipe_hands.py FRAMES.npz     (array "frames": uint8 [N, height, width])
"""

from __future__ import annotations

import json
import statistics
import sys
import time


def main() -> None:
    """First sight: every frame as a picture of its own. Tracked: the frames as a video."""
    import mediapipe
    import numpy as np

    frames = np.load(sys.argv[1])["frames"]
    result: dict[str, object] = {"version": mediapipe.__version__}
    for name, still in (("first_sight", True), ("tracked", False)):
        hands = mediapipe.solutions.hands.Hands(
            static_image_mode=still, max_num_hands=1, model_complexity=1, min_detection_confidence=0.5
        )
        ms, found = [], 0
        for number, frame in enumerate(frames):
            colour = np.repeat(frame[:, :, None], 3, axis=2)
            began = time.perf_counter()
            answer = hands.process(colour)
            if number >= 10:
                ms.append((time.perf_counter() - began) * 1e3)
            found += bool(answer.multi_hand_landmarks)
        hands.close()
        result[name] = {"median_ms": statistics.median(ms), "found": found, "of": len(frames)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
