"""Purchases that survive a power cut: each state is on the disk before it is acted on, and a start settles what is owed."""

from terminal.journal.book import Journal
from terminal.journal.file import JournalError
from terminal.journal.records import Counters, End, Entry, Follow, Mark, Owed, Owing, Period, Slip

__all__ = ["Counters", "End", "Entry", "Follow", "Journal", "JournalError", "Mark", "Owed", "Owing", "Period", "Slip"]
