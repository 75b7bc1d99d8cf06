"""Adapters that echo: what we send comes back as if the register had said it.

Only a message that no register ever sends (class 04, or 06 0F, 06 1E, 06 D1, 06 D3) proves an echo. From then on everything that
comes back in the order in which it was sent is taken out, until the line is opened anew.
"""

from __future__ import annotations

from collections import deque

WINDOW_S = 1.0  # an echo comes at once; what has not come back by then never will
CHUNKS_MAX = 64  # writes remembered
PROOF = tuple(b"\x10\x02" + p for p in (b"\x04\x0f", b"\x04\xff", b"\x04\x01", b"\x06\x0f", b"\x06\x1e", b"\x06\xd1", b"\x06\xd3"))


class EchoFilter:
    """Remembers what was sent in the last second, and takes its echo out of what is received."""

    def __init__(self) -> None:
        self.found = False
        self._sent: deque[tuple[float, bytes]] = deque(maxlen=CHUNKS_MAX)
        self._matched = 0  # bytes of the first chunk that have come back so far

    def reset(self) -> None:
        """The line is new: perhaps another adapter."""
        self.found = False
        self._sent.clear()
        self._matched = 0

    def sent(self, data: bytes, now_s: float) -> None:
        """These bytes were written with one write."""
        self._sent.append((now_s, data))

    def strip(self, data: bytes, now_s: float) -> bytes:
        """What the register itself said."""
        while self._sent and now_s - self._sent[0][0] > WINDOW_S:
            self._sent.popleft()
            self._matched = 0
        if not self.found:
            at = self._proof(data)
            if at is None:
                return data
            self.found = True
            self._matched = 0
            return self._take(data[at:])
        return self._take(data)

    def _proof(self, data: bytes) -> int | None:
        """Where in `data` a message of ours begins that only we send; the chunks before it are forgotten."""
        for index, (_, chunk) in enumerate(self._sent):
            if not chunk.startswith(PROOF):
                continue
            at = data.find(chunk[:6])
            if at >= 0 and chunk.startswith(data[at : at + len(chunk)]):
                for _ in range(index):
                    self._sent.popleft()
                return at
        return None

    def _take(self, data: bytes) -> bytes:
        rest = bytearray()
        for byte in data:
            if self._sent and byte == self._sent[0][1][self._matched]:
                self._matched += 1
                if self._matched == len(self._sent[0][1]):
                    self._sent.popleft()
                    self._matched = 0
            else:
                rest.append(byte)
        return bytes(rest)
