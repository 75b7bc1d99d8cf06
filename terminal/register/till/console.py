"""A register's commands as text, for the command line, a prompt and scripts.

A script has one command a line, what it must come to after `=>`, and comments after `#`:

    pay 12.34            => done
    pay 5.00             => declined 05
    pay 7.00 abort after 2 => aborted
    wait 1.5
    taken 12.34
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from terminal.register.till.base import CashRegister
from terminal.register.till.result import RegisterResult, Verdict

AMOUNT_MAX_MINOR = 99_999_999
WAIT_MAX_S = 600.0
LINES_MAX = 10_000

HELP = """\
pay AMOUNT             ask for money, for example: pay 12.34
pay AMOUNT abort after SECONDS
refund AMOUNT          give money back
reverse RECEIPT        undo a finished payment
reserve AMOUNT         hold money (fuel pump, gate)
raise RECEIPT AMOUNT   hold more on what is held (ECR17)
book RECEIPT AMOUNT    charge this much of what is held
release RECEIPT [AMOUNT]   give back all of what is held, or this much, and charge the rest
reservations           which reservation is open; at a gate: whose palm is it
end-of-day, turnover   totals, with and without a new period
repeat                 the last transaction as the terminal knows it
recover                learn how the last request ended whose end isn't known
register, log-off      introduce this register to the terminal, or undo that
status, diagnosis      is the terminal there and ready
abort                  stop what is open
taken [AMOUNT]         what this register has taken by its own journal; with AMOUNT: check it
wait SECONDS           do nothing
quit"""


class CommandError(ValueError):
    """A command that can't be understood; the sentence says what would be right."""


@dataclass(frozen=True, slots=True)
class Command:
    """One line of a script or of the prompt."""

    words: tuple[str, ...]
    expected: tuple[str, ...] = ()  # verdict, and perhaps the protocol's code
    abort_after_s: float | None = None
    line: int = 0


def amount_minor(said: str) -> int:
    """`12.34` or `12,34` as 1234. Raises CommandError."""
    try:
        amount = Decimal(said.replace(",", "."))
    except InvalidOperation:
        raise CommandError(f"{said!r} is not an amount. Write it like 12.34.") from None
    minor = amount * 100
    if not amount.is_finite() or minor != minor.to_integral_value() or not 0 <= minor <= AMOUNT_MAX_MINOR:
        raise CommandError(f"{said!r} is not an amount between 0.00 and {AMOUNT_MAX_MINOR / 100:.2f} with two decimals.")
    return int(minor)


def parse(text: str, line: int = 0) -> Command | None:
    """One line; None where it is empty or a comment. Raises CommandError."""
    text = text.split("#", 1)[0].strip()
    if not text:
        return None
    asked, _, expected = text.partition("=>")
    wanted = tuple(expected.split())
    if wanted and wanted[0] not in {v.value for v in Verdict} | {"fails"}:
        raise CommandError(f"{wanted[0]!r} is no outcome; there are: {', '.join(v.value for v in Verdict)}.")
    abort_after_s = None
    if found := re.search(r"\s+abort\s+after\s+(\S+)\s*$", asked):
        abort_after_s = _seconds(found[1])
        asked = asked[: found.start()]
    return Command(tuple(asked.split()), wanted, abort_after_s, line)


def parse_script(text: str) -> list[Command]:
    """All lines. Raises CommandError with the line's number."""
    commands = []
    for number, line in enumerate(text.splitlines()[:LINES_MAX], 1):
        try:
            command = parse(line, number)
            if command is not None:
                _check(command)
                commands.append(command)
        except CommandError as error:
            raise CommandError(f"line {number}: {error}") from None
    return commands


def _seconds(said: str) -> float:
    try:
        seconds = float(said)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= WAIT_MAX_S:
        raise CommandError(f"{said!r} is not a number of seconds between 0 and {WAIT_MAX_S:.0f}.")
    return seconds


def _receipt(said: str) -> int:
    if not said.isdecimal() or int(said) > 9999:
        raise CommandError(f"{said!r} is not a receipt number between 0 and 9999.")
    return int(said)


Request = Callable[[CashRegister, tuple[str, ...]], Awaitable[RegisterResult]]


async def _release(register: CashRegister, words: tuple[str, ...]) -> RegisterResult:
    if len(words) == 1:
        return await register.release(_receipt(words[0]))
    return await register.release_part(_receipt(words[0]), amount_minor(words[1]))


async def _abort(register: CashRegister, _: tuple[str, ...]) -> RegisterResult:
    stopped = await register.abort()
    return RegisterResult(
        Verdict.DONE if stopped else Verdict.FAILED, "abort", text="" if stopped else "It can't be stopped any more."
    )


async def _recover(register: CashRegister, _: tuple[str, ...]) -> RegisterResult:
    result = await register.recover()
    return result or RegisterResult(Verdict.DONE, "recover", text="Nothing is unknown.")


async def _taken(register: CashRegister, words: tuple[str, ...]) -> RegisterResult:
    taken = register.journal.taken_minor
    good = not words or taken == amount_minor(words[0])
    text = "" if good else f"{words[0]} was expected"
    return RegisterResult(Verdict.DONE if good else Verdict.FAILED, "taken", taken, text=text)


async def _wait(_: CashRegister, words: tuple[str, ...]) -> RegisterResult:
    await asyncio.sleep(_seconds(words[0]))
    return RegisterResult(Verdict.DONE, "wait")


# Command: how many words may follow it, what they are, what it does.
REQUESTS: dict[str, tuple[range, str, Request]] = {
    "pay": (range(1, 2), "a", lambda r, w: r.pay(amount_minor(w[0]))),
    "refund": (range(1, 2), "a", lambda r, w: r.refund(amount_minor(w[0]))),
    "reverse": (range(1, 2), "r", lambda r, w: r.reverse(_receipt(w[0]))),
    "reserve": (range(1, 2), "a", lambda r, w: r.reserve(amount_minor(w[0]))),
    "raise": (range(2, 3), "ra", lambda r, w: r.raise_hold(_receipt(w[0]), amount_minor(w[1]))),
    "book": (range(2, 3), "ra", lambda r, w: r.book(_receipt(w[0]), amount_minor(w[1]))),
    "release": (range(1, 3), "ra", _release),
    "reservations": (range(1), "", lambda r, _: r.reservations()),
    "end-of-day": (range(1), "", lambda r, _: r.end_of_day()),
    "turnover": (range(1), "", lambda r, _: r.turnover()),
    "repeat": (range(1), "", lambda r, _: r.repeat()),
    "recover": (range(1), "", _recover),
    "register": (range(1), "", lambda r, _: r.register()),
    "log-off": (range(1), "", lambda r, _: r.log_off()),
    "status": (range(1), "", lambda r, _: r.status()),
    "diagnosis": (range(1), "", lambda r, _: r.diagnosis()),
    "abort": (range(1), "", _abort),
    "taken": (range(2), "a", _taken),
    "wait": (range(1, 2), "s", _wait),
}
_READ: dict[str, Callable[[str], object]] = {"a": amount_minor, "r": _receipt, "s": _seconds}


def _check(command: Command) -> None:
    name, *words = command.words
    if name not in REQUESTS:
        raise CommandError(f"{name!r} is no command; there are: {', '.join(REQUESTS)}.")
    count, kinds, _ = REQUESTS[name]
    if len(words) not in count:
        raise CommandError(
            f"{name} takes {count[0]} to {count[-1]} words." if len(count) > 1 else f"{name} takes {count[0]} words."
        )
    for kind, word in zip(kinds, words, strict=False):
        _READ[kind](word)


async def perform(register: CashRegister, command: Command) -> RegisterResult:
    """Do it. Raises CommandError where it can't be understood."""
    _check(command)
    request = REQUESTS[command.words[0]][2](register, command.words[1:])
    if command.abort_after_s is None:
        return await request
    running = asyncio.ensure_future(request)
    done, _ = await asyncio.wait((running,), timeout=command.abort_after_s)
    if not done:
        await register.abort()
    return await running


def as_expected(command: Command, result: RegisterResult) -> bool:
    """Did it come to what the script says? Without an expectation anything but `unknown` will do; `taken` has to be right."""
    if not command.expected:
        return result.verdict is not Verdict.UNKNOWN and not (command.words[0] == "taken" and not result.done)
    verdict, *codes = command.expected
    right = not result.done if verdict == "fails" else result.verdict.value == verdict
    return right and (not codes or codes[0].upper() == result.code.upper())


def shown(result: RegisterResult) -> str:
    """One line for a person."""
    parts = [f"{result.request}: {result.verdict.value}"]
    if result.amount_minor:
        parts.append(f"{result.amount_minor // 100}.{result.amount_minor % 100:02d}")
    if result.receipt is not None:
        parts.append(f"receipt {result.receipt}")
    if result.code and not result.done:
        parts.append(f"code {result.code}")
    if result.text:
        parts.append(result.text)
    return ", ".join(parts)


async def run_script(
    register: CashRegister, commands: Iterable[Command], report: Callable[[Command, RegisterResult, bool], None]
) -> bool:
    """All commands in order; True where each came to what it should."""
    good = True
    for command in commands:
        result = await perform(register, command)
        right = as_expected(command, result)
        report(command, result, right)
        good = good and right
    return good
