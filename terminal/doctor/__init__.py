"""`palm-terminal doctor`: every part looked at, and for each that is wrong a sentence that says what to do next."""

from terminal.doctor.examine import examine
from terminal.doctor.finding import Finding, show

__all__ = ["Finding", "examine", "show"]
