"""ZVT's serial transport: acknowledging, repeating, noise, collisions, echoes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from terminal.register.machine import Delivered
from terminal.register.zvt.frame import wrap
from tests.terminal.register.zvt_bench import OK, PAY, Bench, code_of

PAYMENT = wrap(bytes.fromhex(PAY))


def test_a_wrong_checksum_is_refused_and_the_repeat_taken() -> None:
    bench = Bench()
    bench.bytes_come(PAYMENT[:-1] + bytes((PAYMENT[-1] ^ 1,)))
    assert bench.heard_all() == ["NAK"]
    bench.bytes_come(PAYMENT)
    assert bench.heard_all() == ["ACK", OK]


def test_half_a_message_is_refused_after_t1() -> None:
    bench = Bench()
    bench.bytes_come(PAYMENT[:9])
    bench.passes(0.19)
    assert bench.heard_all() == []
    bench.passes(0.02)
    assert bench.heard_all() == ["NAK"]
    bench.passes(60)
    assert bench.heard_all() == []
    bench.bytes_come(PAYMENT)
    assert bench.heard_all() == ["ACK", OK]


def test_a_message_byte_by_byte() -> None:
    bench = Bench()
    for byte in PAYMENT:
        bench.passes(0.15)
        bench.bytes_come(bytes((byte,)))
    assert bench.heard_all() == ["ACK", OK]


def test_noise_between_messages_is_no_message() -> None:
    bench = Bench()
    bench.bytes_come(b"\x00\xffAT+CGMI\r\n\x10\x10\x10")
    bench.passes(1)
    assert bench.heard_all() == []
    bench.bytes_come(b"\x10" + PAYMENT)
    assert bench.heard_all() == ["ACK", OK]


def test_a_new_message_in_the_middle_of_another() -> None:
    bench = Bench()
    bench.bytes_come(PAYMENT[:9] + PAYMENT)
    assert bench.heard_all() == ["ACK", OK]


def test_our_answer_is_repeated_twice_and_then_given_up() -> None:
    bench = Bench(acks=False)
    bench.says("06 70 00")
    assert bench.heard() == [OK]
    bench.passes(5)
    bench.passes(5)
    assert bench.heard() == [OK, OK]
    bench.passes(5)
    assert bench.heard() == []
    assert bench.machine.idle


def test_a_refused_message_is_repeated_at_once() -> None:
    bench = Bench(acks=False)
    bench.says("06 70 00")
    bench.bytes_come(b"\x15")
    assert bench.heard() == [OK, OK]
    bench.bytes_come(b"\x15\x15\x15")
    assert bench.heard() == [OK]
    assert bench.machine.idle, "a register that refuses three times gets no more"


def test_a_register_that_repeats_its_command_gets_the_same_answer() -> None:
    """Our ACK and our answer got lost: the register says the payment again, which must not become a second one."""
    bench = Bench(acks=False)
    bench.says(PAY)
    bench.passes(4)
    bench.says(PAY)
    assert bench.heard_all() == ["ACK", OK, "ACK", OK]
    assert len(bench.actions) == 1


def test_acknowledgement_and_message_in_one_read() -> None:
    bench = Bench(acks=False)
    bench.says("06 70 00")
    bench.bytes_come(b"\x06")
    assert code_of(bench.heard()[-1]) == 0x0401
    bench.bytes_come(b"\x06" + wrap(bytes.fromhex(OK)))
    assert bench.heard() == ["06 0F 00"]


def test_an_answer_without_acknowledgement_is_one() -> None:
    bench = Bench(acks=False)
    bench.says(PAY)
    bench.bytes_come(b"\x06")
    bench.answers()
    bench.says(OK)
    assert bench.settlements() == [Delivered(bench.asked().number)]
    bench.settles()
    assert bench.heard()[-1] == "06 0F 00"


def test_a_register_that_never_acknowledges_but_goes_on() -> None:
    bench = Bench(acks=False)
    bench.says(PAY)
    bench.says("06 B0 00")
    assert bench.aborts() == 1
    bench.passes(30)
    assert bench.heard().count(OK) == 1, "the answer to the payment is not repeated into what follows"


def test_stray_acknowledgements_mean_nothing() -> None:
    bench = Bench()
    bench.bytes_come(b"\x06\x06\x15\x15\x06")
    assert bench.raw == []


def test_a_wrong_length_field() -> None:
    bench = Bench()
    bench.bytes_come(wrap(bytes.fromhex("06 01 0B 04 00 00 00 00 12 34 49 09 78")))
    assert bench.heard() == ["84 9A 00"]


class Echoing(Bench):
    """An adapter that gives back whatever is sent, before the register says anything."""

    def _sent(self, data: bytes):  # type: ignore[no-untyped-def]
        return self.machine.received(data, self.now_s) + super()._sent(data)


def test_an_echoing_adapter() -> None:
    bench = Echoing()
    bench.says("06 00 06 12 34 56 BE 09 78")
    bench.says(OK)
    assert any("echo" in r for r in bench.remarks)
    bench.heard()
    for _ in range(3):
        bench.says(PAY)
        assert bench.heard() == [OK]
        bench.answers()
        assert [code_of(m) for m in bench.heard()] == [0x040F]
        assert bench.settlements() == [], "our own words don't acknowledge"
        bench.says("84 05 00")
        bench.says(OK)
        bench.says(OK)
        bench.heard()
        assert bench.machine.idle
        bench.actions.clear()


def test_an_echoing_adapter_and_a_register_that_never_answers() -> None:
    bench = Echoing()
    bench.acks = False
    bench.says(PAY)
    bench.answers()
    bench.passes(60)
    assert [type(s).__name__ for s in bench.settlements()] == ["Undelivered"]
    assert bench.machine.idle


def test_an_echoing_adapter_whose_echo_comes_in_pieces() -> None:
    bench = Bench(acks=False)
    bench.says(PAY)
    bench.bytes_come(b"\x06")
    bench.answers()
    sent = bench.raw[-1]
    bench.heard()
    for at in range(len(sent)):
        bench.bytes_come(sent[at : at + 1])
    bench.bytes_come(b"\x06" + wrap(bytes.fromhex(OK)))
    assert bench.settlements() == [Delivered(bench.asked().number)]


@given(st.binary(max_size=200))
def test_whatever_comes_the_next_payment_is_served(noise: bytes) -> None:
    bench = Bench()
    bench.bytes_come(noise)
    bench.passes(400)
    bench.heard()
    bench.actions.clear()
    bench.bytes_come(PAYMENT)
    assert bench.heard_all()[:2] == ["ACK", OK]
    assert bench.asked().amount_minor == 1234
