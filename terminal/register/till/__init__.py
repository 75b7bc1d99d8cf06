"""Small cash registers: the other end of each protocol, for a person, a script, a demo and the tests.

They are written from the wire facts and share no encoder or decoder with the terminal, so that a mistake in one is caught by the
other. What a register believes was paid stands in its own journal.
"""

from terminal.register.till.journal import TillJournal
from terminal.register.till.result import RegisterResult, Verdict

__all__ = ["RegisterResult", "TillJournal", "Verdict"]
