from __future__ import annotations

from collections.abc import Iterator

import pytest
from gpiozero.pins.mock import MockFactory

from terminal.config import ReaderOptions
from terminal.reader import light as lamps
from terminal.reader.banks import CYCLE
from terminal.reader.frame import Light
from terminal.reader.light import Banks
from terminal.reader.lighting import Exposure, Lighting, SensorTimed, SoftwareTimed, lighting
from tests.terminal.reader.pictures import Clock

LEVELS = {Light.PARALLEL: 90.0, Light.CROSSED: 60.0, Light.DARK: 12.0}
PERIOD_S = 1 / 60


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def banks(clock: Clock) -> Iterator[Banks]:
    made = Banks((17, 27), MockFactory(), clock)
    yield made
    made.close()


def shown(light: Lighting, clock: Clock, numbers: range, phase: int, on: bool = True) -> list[tuple[Light, Light]]:
    """(label, truth) of exposures that begin one period after each other; the cycle began at number `phase`."""
    pairs = []
    for number in numbers:
        truth = CYCLE[(number - phase) % 3] if on else Light.DARK
        pairs.append((light.label(Exposure(number, clock(), 0.004, PERIOD_S, LEVELS[truth])), truth))
        clock.sleep(PERIOD_S)
    return pairs


@pytest.mark.parametrize("delay_s", [0.0001, 0.0019, 0.0021, 0.012])
def test_a_trigger_begins_with_the_first_exposure_after_the_banks_were_enabled(banks: Banks, clock: Clock, delay_s: float) -> None:
    """Also when that one comes so soon that it is not believed itself."""
    light = SensorTimed(banks, clock, armed_by_us=True)
    clock.sleep(1.0)
    shown(light, clock, range(10), 0, on=False)
    light.active()
    clock.sleep(delay_s)
    pairs = shown(light, clock, range(10, 40), 10)
    assert all(label in {truth, Light.MIXED} for label, truth in pairs)
    assert [label for label, _ in pairs[1:]] == [truth for _, truth in pairs[1:]]


def test_idle_is_dark_by_construction_after_the_last_pulse(banks: Banks, clock: Clock) -> None:
    light = SensorTimed(banks, clock, armed_by_us=False)
    clock.sleep(1.0)
    light.active()
    clock.sleep(0.01)
    shown(light, clock, range(20), 1)
    light.idle()
    assert light.label(Exposure(20, clock() - 0.001, 0.004, PERIOD_S, 90.0)) is Light.MIXED
    clock.sleep(0.01)
    assert [label for label, _ in shown(light, clock, range(21, 30), 1, on=False)] == [Light.DARK] * 9


def test_light_that_the_guard_put_out_is_not_labelled_as_lit(banks: Banks, clock: Clock) -> None:
    light = SensorTimed(banks, clock, armed_by_us=False)
    clock.sleep(1.0)
    light.active()
    shown(light, clock, range(20), 1)
    clock.sleep(lamps.ENABLED_MAX_S)
    assert banks.put_out_if_overdue()
    labels = [label for label, _ in shown(light, clock, range(20, 60), 1, on=False)]
    assert set(labels) <= {Light.MIXED, Light.DARK}
    light.active()
    clock.sleep(0.01)
    assert [label for label, _ in shown(light, clock, range(60, 90), 1)][5:] == [CYCLE[(n - 1) % 3] for n in range(65, 90)]


def test_asking_again_keeps_the_light_and_the_place(banks: Banks, clock: Clock) -> None:
    light = SensorTimed(banks, clock, armed_by_us=False)
    clock.sleep(1.0)
    light.active()
    shown(light, clock, range(12), 0)
    clock.sleep(lamps.ENABLED_MAX_S - 1)
    light.active()
    clock.sleep(2.0)
    assert not banks.put_out_if_overdue()
    assert [label for label, _ in shown(light, clock, range(12, 24), 0)] == [CYCLE[n % 3] for n in range(12, 24)]


@pytest.mark.parametrize(("order", "kind"), [("strobe", SensorTimed), ("trigger", SensorTimed), ("software", SoftwareTimed)])
def test_the_configuration_names_the_lighting(banks: Banks, clock: Clock, order: str, kind: type) -> None:
    options = ReaderOptions.model_validate({"kind": "picamera2", "bank_order": order})
    assert type(lighting(options, banks, clock)) is kind
