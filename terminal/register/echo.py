"""Adapters that echo: what we send comes back as if the register had said it.

Only a message that no register ever sends proves an echo; which ones those are, each protocol says. From then on everything that comes
back in the order in which it was sent is taken out, until the line is opened anew.
"""

from __future__ import annotations

from collections import deque

from terminal.register.machine import Action, Answer, Machine, Note, Remark, Send, Settles

WINDOW_S = 1.0  # an echo comes at once; what has not come back by then never will
CHUNKS_MAX = 64  # writes remembered


class EchoFilter:
    """Remembers what was sent in the last second, and takes its echo out of what is received.

    `proofs`: how messages begin that only a terminal sends; `least`: so many bytes of one have to come back to be sure.
    """

    def __init__(self, proofs: tuple[bytes, ...], least: int) -> None:
        self._proofs, self._least = proofs, least
        self.found = False
        self._sent: deque[tuple[float, bytes]] = deque()
        self._matched = 0  # bytes of the first chunk that have come back so far

    def reset(self) -> None:
        """The line is new: perhaps another adapter."""
        self.found = False
        self._sent.clear()
        self._matched = 0

    def sent(self, data: bytes, now_s: float) -> None:
        """These bytes were written with one write."""
        if len(self._sent) == CHUNKS_MAX:  # the oldest goes, and with it the place in it
            self._sent.popleft()
            self._matched = 0
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
            if not chunk.startswith(self._proofs):
                continue
            at = data.find(chunk[: self._least])
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


class EchoFree:
    """A machine on a serial line whose adapter may echo. It hears only what the register itself said. See Machine and Settles."""

    def __init__(self, machine: Machine, proofs: tuple[bytes, ...], least: int) -> None:
        self._machine = machine
        self._filter = EchoFilter(proofs, least)

    def received(self, data: bytes, now_s: float) -> list[Action]:
        """See Machine."""
        before = self._filter.found
        data = self._filter.strip(data, now_s)
        said: list[Action] = []
        if self._filter.found and not before:
            said.append(Remark("the adapter echoes what we send; the echo is ignored from now on"))
        return [*said, *(self._sent(self._machine.received(data, now_s), now_s) if data else [])]

    def answered(self, answer: Answer, now_s: float) -> list[Action]:
        """See Machine."""
        return self._sent(self._machine.answered(answer, now_s), now_s)

    def abort_answered(self, number: int, accepted: bool, now_s: float) -> list[Action]:
        """See Machine."""
        return self._sent(self._machine.abort_answered(number, accepted, now_s), now_s)

    def noted(self, number: int, note: Note, now_s: float) -> list[Action]:
        """See Machine."""
        return self._sent(self._machine.noted(number, note, now_s), now_s)

    def settled(self, number: int, kept: bool, now_s: float) -> list[Action]:
        """See Settles."""
        machine = self._machine
        return self._sent(machine.settled(number, kept, now_s), now_s) if isinstance(machine, Settles) else []

    def ticked(self, now_s: float) -> list[Action]:
        """See Machine."""
        return self._sent(self._machine.ticked(now_s), now_s)

    def line_lost(self, now_s: float) -> list[Action]:
        """See Machine."""
        self._filter.reset()
        return self._sent(self._machine.line_lost(now_s), now_s)

    def line_opened(self, now_s: float) -> list[Action]:
        """See Machine."""
        self._filter.reset()
        return self._sent(self._machine.line_opened(now_s), now_s)

    @property
    def next_deadline_s(self) -> float | None:
        """See Machine."""
        return self._machine.next_deadline_s

    @property
    def settings(self) -> dict[str, str]:
        """See Machine."""
        return self._machine.settings

    def _sent(self, actions: list[Action], now_s: float) -> list[Action]:
        for action in actions:
            if isinstance(action, Send):
                self._filter.sent(action.data, now_s)
        return actions
