"""The lamps as waveforms: what gpiozero's mock pins recorded, not which calls were made."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from gpiozero.pins.mock import MockFactory, MockPin, MockPWMPin

from terminal.reader import light as lamps
from terminal.reader.banks import CYCLE
from terminal.reader.frame import Light, ReaderError
from terminal.reader.light import Banks, Ring, Switcher, header_chip
from tests.terminal.reader.pictures import Clock

PARALLEL_PIN, CROSSED_PIN = 17, 27


def wave(factory: MockFactory, pin: int) -> list[bool]:
    return [bool(state.state) for state in factory.pin(pin).states]


class OrderedPin(MockPin):  # type: ignore[misc]  # gpiozero has no types
    """A mock pin that also writes its changes to one log for all pins, since each pin's own stamps are relative to itself."""

    log: ClassVar[list[tuple[int, bool]]] = []

    def _change_state(self, value: bool) -> bool:
        changed = bool(super()._change_state(value))
        if changed:
            self.log.append((self.info.name and int(self.info.name.removeprefix("GPIO")), bool(value)))
        return changed


def both_lit_at_once() -> bool:
    lit: set[int] = set()
    for pin, on in OrderedPin.log:
        lit = lit | {pin} if on else lit - {pin}
        if len(lit) > 1:
            return True
    assert OrderedPin.log, "nothing was recorded"
    return False


@pytest.fixture
def factory() -> MockFactory:
    OrderedPin.log.clear()
    return MockFactory(pin_class=OrderedPin)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make(factory: MockFactory, clock: Clock) -> Banks:
    return Banks((PARALLEL_PIN, CROSSED_PIN), factory, clock)


def test_off_until_told(factory: MockFactory, clock: Clock) -> None:
    banks = make(factory, clock)
    assert True not in wave(factory, PARALLEL_PIN)
    assert True not in wave(factory, CROSSED_PIN)
    banks.close()


def test_one_bank_at_a_time_the_other_off_first(factory: MockFactory, clock: Clock) -> None:
    banks = make(factory, clock)
    for light in CYCLE * 4:
        banks.show(light)
    assert wave(factory, PARALLEL_PIN)[-8:] == [True, False] * 4
    assert wave(factory, CROSSED_PIN)[-8:] == [True, False] * 4
    assert not both_lit_at_once()
    banks.close()


def test_enabling_lets_both_through_and_off_takes_both_away(factory: MockFactory, clock: Clock) -> None:
    banks = make(factory, clock)
    banks.enable()
    assert both_lit_at_once(), "the check above can fail"
    assert factory.pin(PARALLEL_PIN).state
    assert factory.pin(CROSSED_PIN).state
    banks.off()
    assert not factory.pin(PARALLEL_PIN).state
    assert not factory.pin(CROSSED_PIN).state
    banks.close()


def test_a_bank_left_on_is_put_out_and_a_stepped_one_is_not(factory: MockFactory, clock: Clock) -> None:
    banks = make(factory, clock)
    for _ in range(20):
        banks.show(Light.PARALLEL)
        clock.sleep(0.05)
        assert not banks.put_out_if_overdue()
    clock.sleep(lamps.BANK_ON_MAX_S)
    assert banks.put_out_if_overdue()
    assert not factory.pin(PARALLEL_PIN).state
    banks.enable()
    clock.sleep(lamps.ENABLED_MAX_S - 1)
    assert not banks.put_out_if_overdue()
    clock.sleep(1.5)
    assert banks.put_out_if_overdue()
    assert not factory.pin(CROSSED_PIN).state
    banks.close()


def test_the_guard_itself_puts_out(factory: MockFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real clock and thread: waits for the pin, bounded by the test's own time-out."""
    monkeypatch.setattr(lamps, "BANK_ON_MAX_S", 0.01)
    monkeypatch.setattr(lamps, "GUARD_TICK_S", 0.005)
    banks = Banks((PARALLEL_PIN, CROSSED_PIN), factory)
    out = threading.Event()
    pin: Any = factory.pin(PARALLEL_PIN)
    change = pin._change_state

    def watched(value: bool) -> bool:
        changed: bool = change(value)
        if not value:
            out.set()
        return changed

    pin._change_state = watched
    banks.show(Light.PARALLEL)
    assert out.wait(10)
    assert not pin.state
    banks.close()


def test_closing_puts_out_and_gives_the_pins_back(factory: MockFactory, clock: Clock) -> None:
    banks = make(factory, clock)
    banks.enable()
    banks.close()
    banks.close()
    assert wave(factory, PARALLEL_PIN)[-1] is False
    make(factory, clock).close()


def test_a_pin_that_is_taken_or_does_not_exist_is_refused_in_words(factory: MockFactory, clock: Clock) -> None:
    banks = make(factory, clock)
    with pytest.raises(ReaderError, match="bank_pins"):
        Banks((22, CROSSED_PIN), factory, clock)
    with pytest.raises(ReaderError, match="bank_pins"):
        Banks((5, 99), factory, clock)
    with pytest.raises(ReaderError, match="ring_pin"):
        Ring(PARALLEL_PIN, factory)
    banks.close()


def test_the_switcher_steps_in_the_middle_of_the_dark_interval(factory: MockFactory, clock: Clock) -> None:
    banks = make(factory, clock)
    steps_s: list[float] = []

    def wait(seconds: float) -> bool:
        clock.sleep(seconds)
        steps_s.append(clock())
        clock.sleep(0.0002)  # as a real pin takes
        return False

    switcher = Switcher(banks, CYCLE, clock, wait)
    first_s, exposure_s, period_s = clock(), 0.004, 1 / 60
    switcher.observe(first_s, exposure_s, period_s)
    for _ in range(9):
        switcher.step_once()
    middles = [first_s + exposure_s + (period_s - exposure_s) / 2 + k * period_s for k in range(9)]
    assert steps_s == pytest.approx(middles, abs=1e-6)
    seen = [switcher.lit_during(first_s + k * period_s, exposure_s, 0.0005) for k in range(1, 9)]
    assert seen == [CYCLE[k % 3] for k in range(8)]
    assert not both_lit_at_once()
    banks.close()


@pytest.mark.parametrize("offset_s", [0.0, 0.002, -0.0004, 0.0044])
def test_an_exposure_that_a_switch_falls_into_is_mixed(factory: MockFactory, clock: Clock, offset_s: float) -> None:
    banks = make(factory, clock)

    def wait(seconds: float) -> bool:
        clock.sleep(seconds)
        return False

    switcher = Switcher(banks, CYCLE, clock, wait)
    switcher.observe(clock() - 0.016, 0.004, 0.016)
    switcher.step_once()
    switched_s = clock()
    assert switcher.lit_during(switched_s + 0.005, 0.004, 0.0005) is Light.PARALLEL
    assert switcher.lit_during(switched_s - offset_s, 0.004, 0.0005) is Light.MIXED
    assert switcher.lit_during(switched_s - 0.02, 0.004, 0.0005) is Light.MIXED, "before anything was recorded"
    assert switcher.lit_during(switched_s + lamps.BANK_ON_MAX_S + 0.01, 0.004, 0.0005) is Light.MIXED, "the switcher died"
    banks.close()


def test_the_switchers_thread_ends_and_leaves_the_banks_off(factory: MockFactory) -> None:
    banks = Banks((PARALLEL_PIN, CROSSED_PIN), factory)
    lit = threading.Event()
    pin: Any = factory.pin(CROSSED_PIN)
    change = pin._change_state

    def watched(value: bool) -> bool:
        if value:
            lit.set()
        changed: bool = change(value)
        return changed

    pin._change_state = watched
    switcher = Switcher(banks, CYCLE)
    switcher.observe(0.0, 0.001, 0.005)
    switcher.start()
    assert lit.wait(10)
    switcher.stop()
    assert not factory.pin(PARALLEL_PIN).state
    assert not factory.pin(CROSSED_PIN).state
    assert "light-switcher" not in {thread.name for thread in threading.enumerate()}
    banks.close()


def test_the_ring_dims_pulses_and_goes_off() -> None:
    factory = MockFactory(pin_class=MockPWMPin)
    ring = Ring(18, factory)
    ring.show(0.4)
    ring.show(7.0)
    assert [round(float(state.state), 2) for state in factory.pin(18).states][-2:] == [0.4, 1.0]
    ring.pulse()
    ring.close()
    ring.close()
    assert float(factory.pin(18).states[-1].state) == 0.0


class FakeLgpio:
    def __init__(self, labels: dict[int, str]) -> None:
        self.labels = labels
        self.open: set[int] = set()

    def gpiochip_open(self, number: int) -> int:
        if number not in self.labels:
            raise OSError("can not open gpiochip")
        self.open.add(number)
        return number

    def gpio_get_chip_info(self, handle: int) -> tuple[int, int, str, str]:
        return 0, 54, f"gpiochip{handle}", self.labels[handle]

    def gpiochip_close(self, handle: int) -> None:
        self.open.remove(handle)


@pytest.mark.parametrize(
    ("labels", "number"),
    [
        ({0: "pinctrl-bcm2711", 1: "raspberrypi-exp-gpio"}, 0),
        ({0: "brcmvirt-gpio", 4: "pinctrl-rp1", 10: "gpio-brcmstb@107d508500"}, 4),
        ({0: "pinctrl-rp1", 11: "gpio-brcmstb@107d517c00"}, 0),
        ({0: "pinctrl-bcm2835", 2: "other"}, 0),
    ],
)
def test_the_chip_is_chosen_by_its_label(labels: dict[int, str], number: int) -> None:
    lgpio = FakeLgpio(labels)
    assert header_chip(lgpio, [f"/dev/gpiochip{n}" for n in [*labels, 99]]) == number
    assert not lgpio.open


def test_no_header_no_lamps() -> None:
    with pytest.raises(ReaderError, match="found: pc-gpio"):
        header_chip(FakeLgpio({0: "pc-gpio"}), ["/dev/gpiochip0"])
    with pytest.raises(ReaderError, match="group gpio"):
        header_chip(SimpleNamespace(), [])
