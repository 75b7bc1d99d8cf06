"""The purchase as a pure state machine, and the words that everybody uses for it.

No device, no clock, no network: events in, commands out. The rule of money that it keeps: a purchase that the register has not
acknowledged is reversed, one that it has acknowledged is captured; never both, never twice, whatever is cut when.

Whoever runs the commands of one step keeps to three things. They are run in their order. A `Write...` is on the disk before the next
one runs. Where a write fails, the rest of that step is dropped and `NotWritten` is the next event.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field, replace


class Outcome(enum.Enum):
    """How a request of the register ended. Protocols translate these into their own codes."""

    APPROVED = "approved"
    ABORTED = "aborted"  # by the register, or by the shopper
    TIMED_OUT = "timed_out"  # nobody presented a palm, or evidence never sufficed
    NOBODY = "nobody"  # the palm is nobody's who is enrolled
    LIMIT = "limit"  # known, but may not spend this much
    BLOCKED = "blocked"  # known, but the account is blocked
    NO_SERVICE = "no_service"  # the identity service can't be reached
    OWED = "owed"  # an earlier purchase has to be settled first, and can't be yet
    BUSY = "busy"  # a request is open already
    BAD_AMOUNT = "bad_amount"  # zero, negative or beyond the terminal's limit
    BAD_CURRENCY = "bad_currency"
    READER_FAULT = "reader_fault"
    NOT_FOUND = "not_found"  # no such receipt or reservation
    ALREADY_REVERSED = "already_reversed"
    NOT_SUPPORTED = "not_supported"
    FAULT = "fault"  # our own error; the log has it


class Screen(enum.Enum):
    """What the shopper is being told; each has a sentence in every language (display/words)."""

    WELCOME = "welcome"  # idle
    PRESENT_PALM = "present_palm"  # with the amount
    LOOKING = "looking"
    ASKING = "asking"
    PAID = "paid"
    REFUNDED = "refunded"
    RESERVED = "reserved"
    DECLINED = "declined"  # with an Outcome
    CANCELLED = "cancelled"
    STARTING = "starting"
    OUT_OF_ORDER = "out_of_order"  # with a code for the technician
    SETTLING = "settling"  # an earlier purchase is being settled
    ENROL = "enrol"  # enrolment at the till: present the palm
    ENROLLED = "enrolled"


class State(enum.Enum):
    """Where one purchase is. `MEANING` has a sentence for the shopper's side and one for the technician."""

    ASKED = "asked"
    BEGUN = "begun"
    WAITING = "waiting"
    LOOKING = "looking"
    TELLING = "telling"
    FINISHED = "finished"


MEANING: dict[State, tuple[str, str]] = {
    State.ASKED: ("The till is getting ready.", "The register has asked; nothing is written and nobody else knows of it yet."),
    State.BEGUN: (
        "Hold your palm over the ring.",
        "The purchase's key is in the journal; the service has not answered yet. If it stays here, the service is slow or gone.",
    ),
    State.WAITING: (
        "Hold your palm over the ring.",
        "The service is listening; no palm was usable yet. If it stays here with a hand over the ring, look at the reader.",
    ),
    State.LOOKING: (
        "Keep your palm there.",
        "Probes are on their way; the service asks for more until it is sure. If it stays here, look at quality and light.",
    ),
    State.TELLING: (
        "Paid.",
        "Authorised and in the journal; the register was told and has not acknowledged yet. If it stays here, look at its cable.",
    ),
    State.FINISHED: (
        "Thank you, or: please pay another way.",
        "Answered. What is owed to the service stands in the journal and is settled before the next purchase.",
    ),
}


# What can happen to a purchase.


@dataclass(frozen=True, slots=True)
class Asked:
    """The register wants money, the till has checked the amount, and nothing is owed from before."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The service has accepted the stream."""


@dataclass(frozen=True, slots=True)
class PalmSeen:
    """A probe was made of a palm. `look` is opaque here and is handed on."""

    look: object = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Guided:
    """No good probe; `word` says what would help (a value of palm's Guidance)."""

    word: str


@dataclass(frozen=True, slots=True)
class More:
    """The service is not sure yet. `certainty` 0..1 is for the ring alone."""

    certainty: float


@dataclass(frozen=True, slots=True)
class Identified:
    """The service knows whose palm it is and asks the account."""


@dataclass(frozen=True, slots=True)
class Authorised:
    """The service has authorised."""

    code: str
    name: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Found:
    """Whose open reservation it is (a gate's way out). No purchase goes on with it: a register that asked for money gets no answer."""

    key: str
    name: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """The service has refused for good: nothing is held there."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Stopped:
    """It ends here without an answer of the service: aborted, out of patience, service lost, reader broken."""

    outcome: Outcome
    why: str


@dataclass(frozen=True, slots=True)
class RegisterTook:
    """The register has acknowledged; `amount_minor` None means all of it."""

    amount_minor: int | None = None


@dataclass(frozen=True, slots=True)
class RegisterDidNot:
    """The register did not acknowledge."""

    why: str


@dataclass(frozen=True, slots=True)
class NotWritten:
    """The journal could not keep what `command` is."""

    command: Command


Event = (
    Asked
    | Begun
    | PalmSeen
    | Guided
    | More
    | Identified
    | Authorised
    | Found
    | Refused
    | Stopped
    | RegisterTook
    | RegisterDidNot
    | NotWritten
)


# What is to be done about it, in this order.


@dataclass(frozen=True, slots=True)
class Show:
    """Tell the shopper."""

    screen: Screen
    outcome: Outcome | None = None
    name: str = field(default="", repr=False)
    certainty: float = 0.0
    guidance: str | None = None
    code: str = ""


@dataclass(frozen=True, slots=True)
class WriteBegun:
    """Journal, synced before the service hears of the key."""


@dataclass(frozen=True, slots=True)
class OpenStream:
    """Tell the service of the purchase."""


@dataclass(frozen=True, slots=True)
class SendProbe:
    """Stream this look."""

    look: object = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class WriteAuthorised:
    """Journal, synced before the register hears of it."""

    code: str


@dataclass(frozen=True, slots=True)
class WriteCompleted:
    """Journal, synced: the register has acknowledged, a capture is owed. `force`: it is owed even if it can't be written."""

    amount_minor: int | None
    force: bool = False


@dataclass(frozen=True, slots=True)
class WriteReversing:
    """A reversal is owed. If this can't be written it is owed all the same: what the journal has says so after a restart, too."""

    outcome: Outcome
    why: str


@dataclass(frozen=True, slots=True)
class WriteRefused:
    """Ended, and nothing is owed. If this can't be written, a restart reverses what the service never had: harmless."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Tell:
    """Answer the register; where `approved`, it has to acknowledge."""

    outcome: Outcome
    approved: bool = False


@dataclass(frozen=True, slots=True)
class Settle:
    """Pay the service what the journal owes it."""


@dataclass(frozen=True, slots=True)
class CloseStream:
    """No more probes: the reader rests, the stream ends, what was not sent is forgotten."""


Command = (
    Show | WriteBegun | OpenStream | SendProbe | WriteAuthorised | WriteCompleted | WriteReversing | WriteRefused | Tell | Settle
    | CloseStream
)  # fmt: skip

PAID_SCREEN = {"pay": Screen.PAID, "refund": Screen.REFUNDED, "reserve": Screen.RESERVED}
JOURNAL_CODE = "journal"  # what the technician's page explains


@dataclass(frozen=True, slots=True)
class Purchase:
    """One request of the register that needs a palm."""

    kind: str = "pay"  # pay, refund or reserve
    unkept_stands: bool = False
    """What the register believes when its acknowledgement could not be written down: True: paid (most protocols have no third
    message); False: it is told that it failed (ZVT sends its completion after our fsync)."""
    state: State = State.ASKED
    outcome: Outcome | None = None
    probed: bool = False  # a probe was sent: from here on the service may have authorised
    authorised: bool = False


Step = tuple[Purchase, tuple[Command, ...]]


def _asked(purchase: Purchase, _: Event) -> Step:
    return replace(purchase, state=State.BEGUN), (WriteBegun(), OpenStream(), Show(Screen.PRESENT_PALM))


def _waiting(purchase: Purchase, _: Event) -> Step:
    return replace(purchase, state=State.WAITING), ()


def _looking(purchase: Purchase, event: Event) -> Step:
    look = event.look if isinstance(event, PalmSeen) else None
    first = (Show(Screen.LOOKING),) if purchase.state is not State.LOOKING else ()
    return replace(purchase, state=State.LOOKING, probed=True), (SendProbe(look), *first)


def _more(purchase: Purchase, event: Event) -> Step:
    certainty = event.certainty if isinstance(event, More) else 0.0
    return replace(purchase, state=State.LOOKING), (Show(Screen.LOOKING, certainty=certainty),)


def _asking(purchase: Purchase, _: Event) -> Step:
    return replace(purchase, state=State.LOOKING), (Show(Screen.ASKING, certainty=1.0),)


def _guided(purchase: Purchase, event: Event) -> Step:
    word = event.word if isinstance(event, Guided) else None
    screen = Screen.LOOKING if purchase.state is State.LOOKING else Screen.PRESENT_PALM
    return purchase, (Show(screen, guidance=word),)


def _authorised(purchase: Purchase, event: Event) -> Step:
    assert isinstance(event, Authorised)
    said = replace(purchase, state=State.TELLING, outcome=Outcome.APPROVED, authorised=True)
    return said, (
        WriteAuthorised(event.code),
        Tell(Outcome.APPROVED, approved=True),
        Show(PAID_SCREEN[purchase.kind], name=event.name, certainty=1.0),
        CloseStream(),
    )


def _refused(purchase: Purchase, event: Event) -> Step:
    assert isinstance(event, Refused)
    ended = replace(purchase, state=State.FINISHED, outcome=event.outcome)
    return ended, (
        Tell(event.outcome),
        Show(Screen.DECLINED, outcome=event.outcome),
        CloseStream(),
        WriteRefused(event.outcome),
    )


def _stopped(purchase: Purchase, event: Event) -> Step:
    """Once a probe was sent the service may have authorised: a reversal is owed, whether or not there is something to reverse."""
    assert isinstance(event, Stopped)
    ended = replace(purchase, state=State.FINISHED, outcome=event.outcome)
    screen = Screen.CANCELLED if event.outcome is Outcome.ABORTED else Screen.DECLINED
    owed = (WriteReversing(event.outcome, event.why), Settle()) if purchase.probed else (WriteRefused(event.outcome),)
    return ended, (Tell(event.outcome), Show(screen, outcome=event.outcome), CloseStream(), *owed)


def _took(purchase: Purchase, event: Event) -> Step:
    amount = event.amount_minor if isinstance(event, RegisterTook) else None
    return replace(purchase, state=State.FINISHED), (WriteCompleted(amount, force=purchase.unkept_stands), Settle())


def _did_not(purchase: Purchase, event: Event) -> Step:
    why = event.why if isinstance(event, RegisterDidNot) else ""
    ended = replace(purchase, state=State.FINISHED, outcome=Outcome.ABORTED)
    return ended, (WriteReversing(Outcome.ABORTED, why), Show(Screen.CANCELLED, outcome=Outcome.ABORTED), Settle())


def _not_written(purchase: Purchase, event: Event) -> Step:
    """The disk fails: nothing is promised that a power cut could take back."""
    assert isinstance(event, NotWritten)
    ended = replace(purchase, state=State.FINISHED, outcome=Outcome.FAULT)
    out_of_order = Show(Screen.OUT_OF_ORDER, outcome=Outcome.FAULT, code=JOURNAL_CODE)
    match event.command:
        case WriteBegun():
            if purchase.state is State.FINISHED:  # it was stopped, and answered, while the disk was failing
                return purchase, (out_of_order,)
            return ended, (Tell(Outcome.FAULT), CloseStream(), out_of_order)
        case WriteAuthorised():
            owed = WriteReversing(Outcome.FAULT, "the journal could not be written")
            return ended, (Tell(Outcome.FAULT), CloseStream(), out_of_order, owed, Settle())
        case WriteCompleted(force=True):
            return purchase, (out_of_order, Settle())
        case WriteCompleted():
            # Whoever ran the write tells the register that it was not kept, so the register counts it as failed.
            owed = WriteReversing(Outcome.FAULT, "the journal could not be written")
            return ended, (out_of_order, owed, Settle())
    return purchase, ()


_BEFORE = (State.BEGUN, State.WAITING, State.LOOKING)
TABLE: dict[tuple[State, type], Callable[[Purchase, Event], Step]] = {
    (State.ASKED, Asked): _asked,
    (State.BEGUN, Begun): _waiting,
    **{(state, PalmSeen): _looking for state in _BEFORE},
    **{(state, More): _more for state in _BEFORE},
    **{(state, Identified): _asking for state in _BEFORE},
    **{(state, Guided): _guided for state in _BEFORE},
    **{(state, Authorised): _authorised for state in _BEFORE},
    **{(state, Refused): _refused for state in _BEFORE},
    **{(state, Stopped): _stopped for state in _BEFORE},
    (State.TELLING, RegisterTook): _took,
    (State.TELLING, RegisterDidNot): _did_not,
    **{(state, NotWritten): _not_written for state in State},
}
"""Everything else is late or out of place and changes nothing: an abort after the register was told, an authorisation after a stop
(the reversal that is owed covers it), a second acknowledgement."""


def step(purchase: Purchase, event: Event) -> Step:
    """What becomes of `purchase` when `event` happens, and what is to be done, in order. Pure; never raises for an odd order."""
    action = TABLE.get((purchase.state, type(event)))
    return action(purchase, event) if action else (purchase, ())


def can_stop(purchase: Purchase) -> bool:
    """Whether the register may still abort."""
    return purchase.state in _BEFORE
