"""What a register answers to a request that its protocol does not have."""

from __future__ import annotations

from terminal.register.till.journal import TillJournal
from terminal.register.till.result import RegisterResult, Verdict


class PlainRegister:
    """Base of the registers of small protocols: everything that is not overridden ends FAILED with a sentence."""

    PROTOCOL = "this protocol"
    journal: TillJournal

    def _lacks(self, request: str) -> RegisterResult:
        return RegisterResult(Verdict.FAILED, request, text=f"{self.PROTOCOL} has no {request}.")

    async def register(self) -> RegisterResult:
        """Nothing to introduce."""
        return RegisterResult(Verdict.DONE, "register", text=f"{self.PROTOCOL} needs no registration.")

    async def log_off(self) -> RegisterResult:
        """See CashRegister."""
        return self._lacks("log-off")

    async def status(self) -> RegisterResult:
        """See CashRegister."""
        return self._lacks("status")

    async def refund(self, amount_minor: int) -> RegisterResult:
        """See CashRegister."""
        return self._lacks("refund")

    async def reverse(self, receipt: int) -> RegisterResult:
        """See CashRegister."""
        return self._lacks("reverse")

    async def reserve(self, amount_minor: int) -> RegisterResult:
        """See CashRegister."""
        return self._lacks("reserve")

    async def raise_hold(self, receipt: int, amount_minor: int) -> RegisterResult:
        """See CashRegister."""
        return self._lacks("raise")

    async def book(self, receipt: int, amount_minor: int) -> RegisterResult:
        """See CashRegister."""
        return self._lacks("book")

    async def release_part(self, receipt: int, amount_minor: int) -> RegisterResult:
        """See CashRegister."""
        return self._lacks("release-part")

    async def release(self, receipt: int) -> RegisterResult:
        """See CashRegister."""
        return self._lacks("release")

    async def reservations(self) -> RegisterResult:
        """See CashRegister."""
        return self._lacks("reservations")

    async def end_of_day(self) -> RegisterResult:
        """See CashRegister."""
        return self._lacks("end-of-day")

    async def turnover(self) -> RegisterResult:
        """See CashRegister."""
        return self._lacks("turnover")

    async def repeat(self) -> RegisterResult:
        """See CashRegister."""
        return self._lacks("repeat")

    async def diagnosis(self) -> RegisterResult:
        """The nearest is a status."""
        return await self.status()

    async def abort(self) -> bool:
        """None of these protocols lets the register abort; the shopper can, at the terminal."""
        return False

    async def recover(self) -> RegisterResult | None:
        """Where the protocol can't ask for a last result, what was not answered was not paid."""
        asked = self.journal.unresolved
        if asked is None:
            return None
        said = "No answer came, so it counts as not done. The terminal's screen has the last word."
        result = RegisterResult(Verdict.FAILED, asked["request"], text=said, learnt_later=True)
        self.journal.ended(result)
        return result
