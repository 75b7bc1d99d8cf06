"""The money rule over every interleaving: a model till, register, service and disk around the pure machine."""

from __future__ import annotations

import dataclasses
from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from terminal import checkout as c
from terminal.checkout import Outcome, Purchase, Screen, State


def walk(*events: c.Event, purchase: Purchase | None = None) -> tuple[Purchase, list[c.Command]]:
    now, said = purchase or Purchase(), list[c.Command]()
    for event in events:
        now, commands = c.step(now, event)
        said += commands
    return now, said


def test_a_purchase_writes_before_it_sends_and_before_it_tells() -> None:
    now, said = walk(
        c.Asked(), c.Begun(), c.PalmSeen("look"), c.More(0.5), c.Identified(), c.Authorised("A1", "Ada"), c.RegisterTook()
    )
    assert now.state is State.FINISHED
    kinds = [type(command) for command in said if not isinstance(command, c.Show)]
    assert kinds == [
        c.WriteBegun, c.OpenStream, c.SendProbe, c.WriteAuthorised, c.Tell, c.CloseStream, c.WriteCompleted, c.Settle,
    ]  # fmt: skip
    screens = [command.screen for command in said if isinstance(command, c.Show)]
    assert screens == [Screen.PRESENT_PALM, Screen.LOOKING, Screen.LOOKING, Screen.ASKING, Screen.PAID]


def test_each_kind_has_its_own_screen_at_the_end() -> None:
    for kind, screen in c.PAID_SCREEN.items():
        _, said = walk(c.Asked(), c.PalmSeen(), c.Authorised("A1"), purchase=Purchase(kind))
        assert c.Show(screen, certainty=1.0) in said


def test_nothing_is_owed_for_a_purchase_of_which_no_probe_was_sent() -> None:
    _, said = walk(c.Asked(), c.Begun(), c.Stopped(Outcome.TIMED_OUT, "nobody came"))
    assert c.WriteRefused(Outcome.TIMED_OUT) in said
    assert c.Settle() not in said


def test_a_late_abort_changes_nothing() -> None:
    told, _ = walk(c.Asked(), c.PalmSeen(), c.Authorised("A1"))
    assert not c.can_stop(told)
    assert c.step(told, c.Stopped(Outcome.ABORTED, "late")) == (told, ())


def test_what_the_register_takes_for_granted_is_not_reversed_when_the_disk_fails() -> None:
    told, _ = walk(c.Asked(), c.PalmSeen(), c.Authorised("A1"), purchase=Purchase(unkept_stands=True))
    taken, said = c.step(told, c.RegisterTook())
    assert said == (c.WriteCompleted(None, force=True), c.Settle())
    _, then = c.step(taken, c.NotWritten(said[0]))
    assert not any(isinstance(command, c.WriteReversing) for command in then)
    assert c.Settle() in then


def test_a_key_that_could_not_be_written_is_answered_once() -> None:
    begun, _ = walk(c.Asked())
    _, said = c.step(begun, c.NotWritten(c.WriteBegun()))
    assert c.Tell(Outcome.FAULT) in said
    stopped, _ = c.step(begun, c.Stopped(Outcome.ABORTED, "aborted"))
    _, said = c.step(stopped, c.NotWritten(c.WriteBegun()))
    assert not any(isinstance(command, c.Tell) for command in said)


def test_names_and_looks_are_in_no_repr() -> None:
    said = [c.Authorised("A1", "Ada"), c.Show(Screen.PAID, name="Ada"), c.PalmSeen("secret"), c.SendProbe("secret")]
    assert "Ada" not in repr(said)
    assert "secret" not in repr(said)


def test_each_state_has_a_sentence_for_both_sides() -> None:
    assert set(c.MEANING) == set(State)
    assert all(shopper.endswith((".", "way.")) and len(technician) > 20 for shopper, technician in c.MEANING.values())


@dataclasses.dataclass
class Books:
    """The service's side of one key, as proto/ promises it."""

    state: str = "nothing"

    def authorise(self) -> bool:
        if self.state in ("nothing", "authorised"):
            self.state = "authorised"
            return True
        return False

    def capture(self) -> bool:
        assert self.state in ("authorised", "captured"), f"capture of a purchase that is {self.state}"
        self.state = "captured"
        return True

    def reverse(self) -> bool:
        assert self.state != "captured", "reversal of a captured purchase"
        self.state = "reversed"
        return True


RUN = st.sampled_from([0, 1, 2, 3, 9, 9, 9, 9])  # commands that are run before the next thing happens; mostly all of them


class World(RuleBasedStateMachine):
    """Events in any order, writes that fail, and power cuts between any two commands."""

    @initialize(kind=st.sampled_from(sorted(c.PAID_SCREEN)), unkept_stands=st.booleans(), ran=RUN, far=st.integers(0, 3))
    def start(self, kind: str, unkept_stands: bool, ran: int, far: int) -> None:
        self.purchase = Purchase(kind, unkept_stands=unkept_stands)
        self.disk = ""  # the last mark on the disk
        self.memory = ""  # the journal's own view
        self.batches: deque[deque[c.Command]] = deque()
        self.books = Books()
        self.sent_begin = self.probe_sent = False
        self.told: Outcome | None = None
        self.register_acknowledged = False
        self.register_believes_paid = False
        self.disk_works = True
        self.off = False
        self.feed(c.Asked())
        self.run(ran)
        if far:  # chance alone rarely comes as far as to the register's verdict, where most of the rule is decided
            self.run_all()
            self.a_palm_is_seen(9)
        if far > 1:
            self.service_authorises(True, 9 if far > 2 else ran)

    def feed(self, event: c.Event) -> None:
        self.purchase, commands = c.step(self.purchase, event)
        self.batches.append(deque(commands))

    def write(self, command: c.Command, mark: str, *, must: bool) -> bool:
        if self.disk_works:
            self.disk = self.memory = mark
            return True
        if not must or (isinstance(command, c.WriteCompleted) and command.force):
            self.memory = mark
        if must:
            self.batches[0].clear()
            self.purchase, commands = c.step(self.purchase, c.NotWritten(command))
            self.batches.insert(1, deque(commands))
        return False

    @precondition(lambda self: not self.off and self.batches)
    @rule()
    def run_one_command(self) -> None:
        while self.batches and not self.batches[0]:
            self.batches.popleft()
        if not self.batches:
            return
        command = self.batches[0].popleft()
        match command:
            case c.WriteBegun():
                self.write(command, "begun", must=True)
            case c.OpenStream():
                assert self.disk == "begun", "the service heard of a key that is not on the disk"
                self.sent_begin = True
            case c.SendProbe():
                if self.sent_begin:  # without a stream there is nothing to send it on
                    assert self.disk
                    self.probe_sent = True
            case c.WriteAuthorised():
                self.write(command, "authorised", must=True)
            case c.Tell(outcome, approved):
                assert self.told is None, "the register was answered twice"
                assert not approved or self.disk == "authorised"
                self.told = outcome
            case c.WriteCompleted():
                if self.write(command, "completed", must=True) or command.force:
                    self.register_believes_paid = True
            case c.WriteReversing():
                self.write(command, "reversing", must=False)
            case c.WriteRefused():
                self.write(command, "settled", must=False)
            case c.Settle():
                self.settle()

    def settle(self) -> None:
        if self.memory == "completed":
            self.books.capture()
        elif self.memory == "reversing":
            self.books.reverse()

    def run(self, count: int) -> None:
        for _ in range(count):
            self.run_one_command()

    @precondition(lambda self: not self.off)
    @rule(
        ran=RUN,
        event=st.sampled_from(
            [
                c.Begun(), c.PalmSeen(), c.Guided("higher"), c.More(0.4), c.Identified(), c.Refused(Outcome.NOBODY),
                c.Stopped(Outcome.ABORTED, "aborted"), c.Stopped(Outcome.TIMED_OUT, "patience"), c.Stopped(Outcome.NO_SERVICE, "lost"),
            ]
        )
    )  # fmt: skip
    def something_happens(self, event: c.Event, ran: int) -> None:
        if isinstance(event, c.Refused):
            if not self.sent_begin or self.books.state != "nothing":
                return  # a service that has authorised does not refuse
            self.books.state = "refused"  # and one that has refused does not authorise
        self.feed(event)
        self.run(ran)

    @precondition(lambda self: not self.off and self.probe_sent)
    @rule(heard=st.sampled_from([True, True, False]), ran=RUN)
    def service_authorises(self, heard: bool, ran: int) -> None:
        if self.books.authorise() and heard:
            self.feed(c.Authorised("A1"))
            self.run(ran)

    @precondition(lambda self: not self.off)
    @rule(ran=RUN)
    def a_palm_is_seen(self, ran: int) -> None:
        self.feed(c.PalmSeen("look"))
        self.run(ran)

    @precondition(lambda self: not self.off and self.told is Outcome.APPROVED and self.purchase.state is State.TELLING)
    @rule(acknowledges=st.booleans(), ran=RUN)
    def register_decides(self, acknowledges: bool, ran: int) -> None:
        self.register_acknowledged = acknowledges
        self.feed(c.RegisterTook() if acknowledges else c.RegisterDidNot("silence"))
        self.run(ran)

    @precondition(lambda self: not self.off and self.purchase.state is not State.TELLING)
    @rule()
    def a_verdict_out_of_place_changes_nothing(self) -> None:
        before = self.purchase
        self.feed(c.RegisterTook())
        self.feed(c.RegisterDidNot("silence"))
        assert self.purchase == before

    @precondition(lambda self: not self.off)
    @rule(works=st.booleans())
    def the_disk(self, works: bool) -> None:
        self.disk_works = works

    @precondition(lambda self: not self.off)
    @rule()
    def power_cut(self) -> None:
        self.off = True
        self.batches.clear()

    @precondition(lambda self: self.off)
    @rule()
    def it_stays_dark(self) -> None:
        """So that a run may go on after the cut."""

    @invariant()
    def never_paid_without_an_acknowledgement(self) -> None:
        if hasattr(self, "books") and self.books.state == "captured":
            assert self.register_acknowledged

    def teardown(self) -> None:
        if not hasattr(self, "books"):
            return
        if not self.off:
            if self.purchase.state not in (State.FINISHED, State.TELLING):
                self.feed(c.Stopped(Outcome.TIMED_OUT, "patience"))
            self.run_all()
            if self.purchase.state is State.TELLING:
                self.feed(c.RegisterDidNot("silence"))
                self.run_all()
            assert self.purchase.state is State.FINISHED, "not back to idle"
            self.settle()
            if self.register_believes_paid:
                assert self.books.state == "captured"
            else:
                assert self.books.state in ("nothing", "refused", "reversed")
        self.restart()

    def run_all(self) -> None:
        while self.batches:
            self.run_one_command()
            while self.batches and not self.batches[0]:
                self.batches.popleft()

    def restart(self) -> None:
        """What the journal concludes at a start, from the disk alone; a second settling must be harmless."""
        if self.disk == "completed":
            self.books.capture()
        elif self.disk in ("begun", "authorised", "reversing"):
            if self.books.state == "captured":  # forced: the disk had failed, the register believes, the service was told
                assert self.purchase.unkept_stands
                return
            self.books.reverse()
        if self.books.state == "captured":
            assert self.register_acknowledged
        assert self.books.state != "authorised", "an amount is still held"


World.TestCase.settings = settings(max_examples=300, stateful_step_count=14, deadline=None)
TestMoneyRule = World.TestCase
