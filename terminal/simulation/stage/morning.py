"""A fixed morning at the till, without a person: what happens in it, and what must stand in both books afterwards."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from terminal.register.till import RegisterResult, Verdict
from terminal.register.till.zvt_codec import Status
from terminal.simulation.stage.cashier import Cashier
from terminal.simulation.stage.hand import HandError
from terminal.simulation.stage.play import PlayError
from terminal.simulation.stage.reckoning import Booked, reckon
from terminal.simulation.stage.reckoning import Verdict as Reckoning
from terminal.simulation.stage.stage import PLUG_PAUSE_S, Stage

PATIENCE_S = 8.0
"""Of the terminal in this script: nobody should wait half a minute for a shopper who is not in it."""
ASKED_DEADLINE_S = 20.0
"""From the register's request until the shopper is asked for a palm."""
ENDED_DEADLINE_S = 90.0
"""From the register's request until it knows how it ended, power cuts included."""
SETTLED_DEADLINE_S = 40.0
"""From the last act until the ledger may hold nothing open."""
LOOK_PERIOD_S = 0.05
BOOKS_PERIOD_S = 1.0
LEAVES_AFTER_S = 0.25
"""A hand that leaves before it has come to rest."""


class MorningError(Exception):
    """An act could not be played at all; the sentence says where it stopped."""


@dataclass(frozen=True, slots=True)
class Act:
    """One scene. paid: what register and ledger must both say. verdicts: what the register may hear."""

    title: str
    amount_minor: int
    paid: bool
    verdicts: frozenset[Verdict]
    play: Callable[[Stage, int], Awaitable[RegisterResult]]


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one act."""

    act: Act
    result: RegisterResult | None  # None: it could not be played, `trouble` says where it stopped
    took_s: float
    trouble: str = ""

    @property
    def done(self) -> bool:
        """The register has it as paid."""
        return self.result is not None and self.result.done


@dataclass(frozen=True, slots=True)
class Report:
    """The whole morning. troubles: one sentence for each thing that is not as it must be."""

    played: tuple[Played, ...]
    ledger: tuple[Booked, ...]
    reckoning: Reckoning
    troubles: tuple[str, ...]


def _cashier(stage: Stage) -> Cashier:
    assert stage.cashier is not None
    return stage.cashier


async def _asked(stage: Stage) -> None:
    """Wait until the shopper is being asked for a palm. Raises MorningError."""
    with suppress(TimeoutError):
        async with asyncio.timeout(ASKED_DEADLINE_S):
            while await stage.screen() not in ("present_palm", "looking"):
                if not _cashier(stage).busy:
                    return  # it ended before anybody was asked
                await asyncio.sleep(LOOK_PERIOD_S)
            return
    raise MorningError(f"Nobody was asked for a palm within {ASKED_DEADLINE_S:g} s; the terminal shows {await stage.screen()!r}.")


async def _ended(task: asyncio.Task[RegisterResult]) -> RegisterResult:
    try:
        return await asyncio.wait_for(task, ENDED_DEADLINE_S)
    except TimeoutError:
        raise MorningError(f"The register did not know after {ENDED_DEADLINE_S:g} s how it ended.") from None


def shows(who: str, *, leaves_after_s: float | None = None) -> Callable[[Stage, int], Awaitable[RegisterResult]]:
    """The register asks, that hand comes, and it ends as it ends."""

    async def play(stage: Stage, amount_minor: int) -> RegisterResult:
        task = _cashier(stage).begin(amount_minor)
        await _asked(stage)
        if who != "none":
            await stage.hand_words.show(who, leaves_after_s=leaves_after_s)
        return await _ended(task)

    return play


async def aborts(stage: Stage, amount_minor: int) -> RegisterResult:
    """The cashier presses stop while the shopper is being asked."""
    task = _cashier(stage).begin(amount_minor)
    await _asked(stage)
    await stage.abort()
    return await _ended(task)


async def cut_before_acknowledged(stage: Stage, amount_minor: int) -> RegisterResult:
    """Authorised and told; the terminal's power goes, and with it the register's word."""
    cashier = _cashier(stage)

    def cut(status: Status) -> bool:
        if status.code != 0:
            return False  # not approved: there is nothing to cut off
        stage.cut_power()
        cashier.before_reply = None
        return True

    cashier.before_reply = cut
    return await _with_power_back(stage, amount_minor)


async def cut_before_captured(stage: Stage, amount_minor: int) -> RegisterResult:
    """The register has acknowledged; the service is frozen so that it can't have captured; then the terminal's power goes."""
    cashier = _cashier(stage)

    def freeze(status: Status) -> bool:
        if status.code == 0:
            stage.server.signal(signal.SIGSTOP)
            cashier.before_reply, cashier.at_completion = None, cut
        return False

    def cut() -> None:
        stage.cut_power()
        cashier.at_completion = None

    cashier.before_reply = freeze
    try:
        return await _with_power_back(stage, amount_minor)
    finally:
        stage.server.signal(signal.SIGCONT)


async def _with_power_back(stage: Stage, amount_minor: int) -> RegisterResult:
    """Ada pays; after the cut that must come, the power comes back."""
    task = _cashier(stage).begin(amount_minor)
    await _asked(stage)
    await stage.hand_words.show("ada")
    until_s = asyncio.get_running_loop().time() + ASKED_DEADLINE_S
    while stage.terminal.running:
        if asyncio.get_running_loop().time() > until_s or task.done():
            how = task.result().verdict.value if task.done() else "still open"
            raise MorningError(f"The power was not cut: the purchase never came that far ({how}).")
        await asyncio.sleep(LOOK_PERIOD_S)
    await stage.terminal.kill()
    await asyncio.sleep(PLUG_PAUSE_S)
    stage.server.signal(signal.SIGCONT)
    await stage.start_terminal()
    return await _ended(task)


async def service_dies_while_asked(stage: Stage, amount_minor: int) -> RegisterResult:
    """The service dies while the shopper is being asked; it is back afterwards."""
    task = _cashier(stage).begin(amount_minor)
    await _asked(stage)
    await stage.kill_service()
    await stage.hand_words.show("ada")
    result = await _ended(task)
    await stage.start_service()
    return result


async def service_dies_after_authorising(stage: Stage, amount_minor: int) -> RegisterResult:
    """Authorised, told and acknowledged, but the service is dead before it can be asked to capture; it is back afterwards."""
    cashier = _cashier(stage)

    killed = asyncio.Event()

    def kill(status: Status) -> bool:
        if status.code == 0:
            stage.server.cut()
            killed.set()
        return False

    cashier.before_reply = kill
    task = cashier.begin(amount_minor)
    await _asked(stage)
    await stage.hand_words.show("ada")
    result = await _ended(task)
    cashier.before_reply = None
    if not killed.is_set():
        raise MorningError(f"The service was not killed: the purchase never came that far ({result.verdict.value}).")
    await stage.kill_service()
    await stage.start_service()
    return result


NO = frozenset({Verdict.DECLINED, Verdict.FAILED, Verdict.ABORTED})
YES = frozenset({Verdict.DONE})

ACTS: tuple[Act, ...] = (
    Act("Ada pays", 1234, True, YES, shows("ada")),
    Act("Ben asks for more than he may spend", 3500, False, frozenset({Verdict.DECLINED}), shows("ben")),
    Act("Ben pays something smaller", 1850, True, YES, shows("ben")),
    Act("A stranger's hand", 777, False, frozenset({Verdict.DECLINED}), shows("stranger")),
    Act("The cashier presses stop", 850, False, frozenset({Verdict.ABORTED}), aborts),
    Act("Nobody comes", 420, False, NO, shows("none")),
    Act("A hand that leaves half way", 660, False, NO, shows("ada", leaves_after_s=LEAVES_AFTER_S)),
    Act("Two hands at once", 555, False, NO, shows("two")),
    Act("Chloe pays, with her left hand", 2300, True, YES, shows("chloe")),
    Act("Power cut: authorised, not acknowledged", 1111, False, NO, cut_before_acknowledged),
    Act("Power cut: acknowledged, not captured", 1313, True, YES, cut_before_captured),
    Act("The service dies while a palm is asked for", 999, False, NO, service_dies_while_asked),
    Act("The service dies before it can capture", 1717, True, YES, service_dies_after_authorising),
    Act("Ada pays once more", 205, True, YES, shows("ada")),
)


async def play(stage: Stage, told: Callable[[str, Played | None], None]) -> Report:
    """Play every act in order, then hold both books against each other and against what was meant to happen."""
    loop, played = asyncio.get_running_loop(), []
    for act in ACTS:
        told(act.title, None)
        began_s, result, trouble = loop.time(), None, ""
        try:
            await stage.hand("none")
            result = await act.play(stage, act.amount_minor)
        except (PlayError, HandError, MorningError) as error:
            trouble = str(error)
            await _as_before(stage)
        played.append(Played(act, result, loop.time() - began_s, trouble))
        told(act.title, played[-1])
    await _settled(stage)
    return judge(played, stage.ledger, reckon(_cashier(stage).rung, stage.ledger))


async def _as_before(stage: Stage) -> None:
    """After an act that could not be played: no hooks, nothing under way, both programs up, so that the next one has a fair start."""
    cashier = _cashier(stage)
    cashier.before_reply = cashier.at_completion = None
    stage.server.signal(signal.SIGCONT)
    if not stage.server.running:
        await stage.start_service()
    if not stage.terminal.running:
        await stage.start_terminal()
    await cashier.quiet(ENDED_DEADLINE_S)


async def _settled(stage: Stage) -> None:
    """Read the ledger until it holds nothing open, SETTLED_DEADLINE_S at most; `judge` names what is left."""
    until_s = asyncio.get_running_loop().time() + SETTLED_DEADLINE_S
    while True:
        await stage.read_books()
        if reckon(_cashier(stage).rung, stage.ledger).agree or asyncio.get_running_loop().time() > until_s:
            return
        await asyncio.sleep(BOOKS_PERIOD_S)


def state_of(amount_minor: int, ledger: tuple[Booked, ...] | list[Booked]) -> str:
    """What the ledger says of an act's amount; each act has its own."""
    return ", ".join(b.state for b in ledger if b.amount_minor == amount_minor) or "nothing"


def judge(played: list[Played], ledger: list[Booked], reckoning: Reckoning) -> Report:
    """Everything that is not as it must be, in sentences. Pure."""
    troubles = list(reckoning.differences)
    for one in played:
        act, result = one.act, one.result
        if result is None:
            troubles.append(f"{act.title}: {one.trouble}")
        elif result.verdict not in act.verdicts:
            wanted = " or ".join(sorted(v.value for v in act.verdicts))
            said = f"{result.verdict.value} ({result.text or result.code or 'no text'})"
            troubles.append(f"{act.title}: the register heard {said}; it should have been {wanted}.")
        captured = sum(b.captured_minor for b in ledger if b.amount_minor == act.amount_minor)
        if captured != (act.amount_minor if act.paid else 0):
            troubles.append(f"{act.title}: the ledger captured {captured} of {act.amount_minor} cents.")
    return Report(tuple(played), tuple(ledger), reckoning, tuple(troubles))
