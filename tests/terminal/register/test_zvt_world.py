"""Register x line x terminal with everything going wrong: they agree or the purchase is reversed, and both are idle again."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from terminal.checkout import Outcome
from tests.terminal.register import soak
from tests.terminal.register.virtual_time import StuckError, VirtualLoop
from tests.terminal.register.world import SlowCore, World

SAMPLE = 120  # runs of the soak; `make soak` makes 10,000


@pytest.fixture(scope="module")
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


@pytest.mark.parametrize("first", range(0, SAMPLE, 40))
def test_a_sample_of_the_soak(loop: VirtualLoop, first: int) -> None:
    payments = 0
    for seed in range(first, first + 40):
        payments += len(loop.run_until_complete(soak.run(seed, soak.KINDS[seed % len(soak.KINDS)])).results)
    assert payments > 20, "the model is busy with something else than payments"


def broken_within(loop: VirtualLoop, runs: int) -> bool:
    for seed in range(runs):
        try:
            loop.run_until_complete(soak.run(seed, "zvt"))
        except AssertionError:
            return True
    return False


def test_the_model_notices_a_till_that_does_not_undo(loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SlowCore, "undo", lambda self, number, why: self.receipts.append(self._pending.pop(number)))
    assert broken_within(loop, 400)


def test_the_model_notices_a_terminal_that_forgets_what_was_acknowledged(
    loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forgets(self: SlowCore, number: int, amount_minor: int | None) -> None:
        self.undo(number, "forgotten")

    monkeypatch.setattr(SlowCore, "delivered", forgets)
    assert broken_within(loop, 20)


def test_a_loop_where_nothing_can_happen_says_so(loop: VirtualLoop) -> None:
    async def waits_for_ever() -> None:
        await asyncio.Event().wait()

    task = loop.create_task(waits_for_ever())
    with pytest.raises(StuckError):
        loop.run_until_complete(task)
    task.cancel()
    loop.call_later(1, lambda: None)
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)


class RegisterLineTerminal(RuleBasedStateMachine):
    """Hypothesis chooses what happens, and shrinks what went wrong to the few steps that matter."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.world: World | None = None

    def run(self, what: Coroutine[Any, Any, Any]) -> None:
        self.loop.run_until_complete(what)

    @initialize(
        seed=st.integers(0, 2**20),
        kind=st.sampled_from(sorted(set(soak.KINDS))),
        config=st.sampled_from(["BE", "86", "08", "00"]),
        known=st.booleans(),
    )
    def begin(self, seed: int, kind: str, config: str, known: bool) -> None:
        protocol = kind.removesuffix("-tcp")
        self.world = World(seed, protocol, serial=kind == protocol, options={"config": config} if protocol == "zvt" else {})
        self.run(self.world.start())
        if known and self.world.register is not None:
            self.run(self.world.register.register())

    @rule(amount=st.sampled_from([1, 1010, 1234]), outcome=st.sampled_from([Outcome.APPROVED, Outcome.APPROVED, Outcome.NOBODY]))
    def pay(self, amount: int, outcome: Outcome) -> None:
        assert self.world is not None
        self.world.core.outcomes = [outcome]

        async def begin() -> None:
            assert self.world is not None
            self.world.pay(amount)

        self.run(begin())

    @rule()
    def abort(self) -> None:
        async def press() -> None:
            assert self.world is not None
            self.world.abort()

        self.run(press())

    @rule(seconds=st.sampled_from([0.001, 0.02, 0.1, 0.5, 2.0, 6.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @rule(rate=st.sampled_from([0.01, 0.1, 0.5]), count=st.integers(1, 10))
    def noise(self, rate: float, count: int) -> None:
        assert self.world is not None
        self.world.cable.faults.rate, self.world.cable.faults.left = rate, count

    @rule(plugged=st.booleans())
    def cable(self, plugged: bool) -> None:
        async def hand() -> None:
            assert self.world is not None
            (self.world.cable.plug if plugged else self.world.cable.pull)()

        self.run(hand())

    @precondition(lambda self: self.world is not None and self.world.serial)
    @rule()
    def nobody_listens(self) -> None:
        assert self.world is not None
        self.world.cable.deaf = True

    @rule(back=st.booleans())
    def terminal_loses_power(self, back: bool) -> None:
        async def cut() -> None:
            assert self.world is not None
            await self.world.cut_terminal()
            if back:
                await self.world.start_terminal()

        self.run(cut())

    @rule(back=st.booleans())
    def register_loses_power(self, back: bool) -> None:
        async def cut() -> None:
            assert self.world is not None
            await self.world.cut_register()
            if back:
                await self.world.start_register()

        self.run(cut())

    def teardown(self) -> None:
        if self.world is not None:
            try:
                self.run(self.world.settle())
            finally:
                self.run(self.world.close())
        self.loop.close()


TestRegisterLineTerminal = RegisterLineTerminal.TestCase
TestRegisterLineTerminal.settings = settings(
    max_examples=60, stateful_step_count=15, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
