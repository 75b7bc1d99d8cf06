"""The register's end of the line, in a process of its own: `python -m tests.bench.register_end FD PAYMENTS`.

Asks for payments over ZVT, enquires for the status while each is open, and prints as JSON how long each ACK took (milliseconds from the
last byte written) and when the first byte of each result came (the monotonic clock, which all processes of a machine share).
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from dataclasses import dataclass, field

from terminal.register.till import zvt_codec

ENQUIRIES = 5
PAUSE_S = 0.06  # between two, so that they fall anywhere between the frames
PATIENCE_S = 30.0
PAY, STATUS, RESULT, DONE = 0x0601, 0x0501, 0x040F, 0x060F
OK = zvt_codec.frame(b"\x80\x00\x00")


@dataclass
class End:
    """Reads and writes the pseudo-terminal's master."""

    fd: int
    buffer: bytes = b""
    ack_ms: list[float] = field(default_factory=list)
    result_s: list[float] = field(default_factory=list)
    came_s: float = 0.0

    def more(self) -> None:
        """Wait for bytes, and note when they came."""
        if not select.select([self.fd], [], [], PATIENCE_S)[0]:
            raise TimeoutError("the terminal says nothing")
        self.came_s = time.monotonic()
        self.buffer += os.read(self.fd, 4096)

    def next(self) -> tuple[str, bytes, float]:
        """The next ACK or message, and when its first byte came."""
        began_s = self.came_s if self.buffer else None
        while True:
            kind, message, used = zvt_codec.cut_frame(self.buffer)
            if kind:
                self.buffer = self.buffer[used:]
                return kind, message, began_s if began_s is not None else self.came_s
            self.more()
            began_s = began_s if began_s is not None else self.came_s

    def asks(self, code: int, data: bytes) -> None:
        """Send a command; its ACK is what is measured."""
        os.write(self.fd, zvt_codec.frame(zvt_codec.command(code, data)))
        sent_s = time.monotonic()
        kind, _, came_s = self.next()
        if kind != "ack":
            raise RuntimeError(f"{kind} in the place of an ACK")
        self.ack_ms.append((came_s - sent_s) * 1e3)

    def answered(self, wanted: int) -> float:
        """Wait for a message of the terminal, acknowledge it; when its first byte came."""
        while True:
            kind, message, came_s = self.next()
            if kind != "message":
                continue
            os.write(self.fd, b"\x06")
            code = zvt_codec.code_of(message)
            if code >> 8 != 0x80:
                os.write(self.fd, OK)
            if code == wanted:
                return came_s

    def pays(self, amount: int) -> None:
        """One payment with its enquiries."""
        self.asks(PAY, b"\x04" + bytes.fromhex(f"{amount:012d}"))
        self.answered(0x8000)
        for _ in range(ENQUIRIES):
            time.sleep(PAUSE_S)
            self.asks(STATUS, b"\x00\x00\x00")
            self.answered(0x8000)
        self.result_s.append(self.answered(RESULT))
        self.answered(DONE)


def main() -> None:
    end = End(int(sys.argv[1]))
    for number in range(int(sys.argv[2])):
        end.pays(100 + number)
        time.sleep(PAUSE_S)
    print(json.dumps({"ack_ms": end.ack_ms, "result_s": end.result_s}))


if __name__ == "__main__":
    main()
