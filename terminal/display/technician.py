"""What a technician reads: a sentence for each screen, one for each code, and what of the app's status may be shown.

English only: it is read beside a manual and a log that are English too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from terminal.checkout import Screen
from terminal.display.view import View

PURCHASES_MAX = 20
"""Last purchases on the page."""
VALUE_LENGTH_MAX = 160
"""Letters of one value on the page."""

SENTENCES: Mapping[Screen, str] = {
    Screen.WELCOME: "Ready. Waiting for the register.",
    Screen.PRESENT_PALM: "The register asked for money; waiting for a palm.",
    Screen.LOOKING: "A palm is there; probes are being sent to the service.",
    Screen.ASKING: "The service knows whose palm it is and is asking the account.",
    Screen.PAID: "The register was told that it is paid.",
    Screen.REFUNDED: "The register was told that it is refunded.",
    Screen.RESERVED: "An amount is held; the register books what was used.",
    Screen.DECLINED: "The register was told no; the outcome says why.",
    Screen.CANCELLED: "The register or the shopper stopped it; nothing was charged.",
    Screen.STARTING: "Starting: opening the reader, loading the models, connecting. More than a minute is too long: read the log.",
    Screen.OUT_OF_ORDER: "Not working. The code says what to look at; then run `palm-terminal doctor`.",
    Screen.SETTLING: "The journal owes the service an answer from before; no purchase is taken until it is settled.",
    Screen.ENROL: "Enrolment at the till: waiting for a palm.",
    Screen.ENROLLED: "Enrolled. The service keeps the signatures, the terminal nothing.",
}

CODES: Mapping[str, str] = {
    "reader": "No frames from the camera. Check its ribbon cable and supply; then `palm-terminal doctor`.",
    "light": "The frames do not change with the light. Check the cable of the ring's infrared banks.",
    "model": "hand.onnx or palm.onnx can't be used. Put the released files back; their versions must fit the service.",
    "service": "The identity service can't be reached. Check network, address and the service; it is tried again by itself.",
    "certificate": "The service's certificate or this till's is refused. Check both, their authority, their dates and the clock.",
    "clock": "The clock is not set yet. Certificates can't be checked until it is; check the network's time server.",
    "register": "The register's line can't be opened. Check the cable and the port's name in the configuration.",
    "journal": "The journal can't be written. Check the data partition: full, read-only or worn out.",
    "configuration": "The configuration can't be used. The log names file, line and key.",
    "supply": "The supply's voltage is too low. Use the supply that came with the board.",
}
"""What to do about each code that OUT_OF_ORDER may carry."""

NO_SENTENCE = "No sentence for this code here: look for it in the log (journalctl -u palm-terminal)."

PURCHASE_FIELDS = ("at", "kind", "amount_minor", "currency", "outcome", "receipt", "took_ms")
"""All that is shown about a purchase; nothing in it says who it was."""

STATUS_FIELDS = (
    "frames_per_s", "frames_dropped", "service", "service_reachable", "register", "register_open", "owed", "uptime_s", "version",
    "model_version", "till", "temperature_c", "throttled",
)  # fmt: skip
"""All that is shown of the app's status besides its purchases; what it says beyond that stays off the page."""


def explain(view: View) -> str:
    """One paragraph for a technician about this view."""
    code = f" Code {view.code}: {CODES.get(view.code, NO_SENTENCE)}" if view.code else ""
    outcome = f" Outcome: {view.outcome.value}." if view.outcome is not None else ""
    return SENTENCES[view.screen] + outcome + code


def _plain(value: Any) -> str | int | float | bool | None:
    """Numbers as they are; everything else as a short text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)[:VALUE_LENGTH_MAX]


def shown(view: View, status: Mapping[str, Any]) -> dict[str, Any]:
    """The technician's page as data: only fields that are known to name nobody get through."""
    given = status.get("purchases", ())
    purchases = [p for p in given if isinstance(p, Mapping)] if isinstance(given, list | tuple) else []
    return {
        "screen": view.screen.value,
        "code": view.code,
        "sentence": explain(view),
        "status": {key: _plain(status[key]) for key in STATUS_FIELDS if key in status},
        "purchases": [{key: _plain(p.get(key)) for key in PURCHASE_FIELDS} for p in purchases[:PURCHASES_MAX]],
    }
