"""What carries bytes between register and terminal: the port, and the choice of a line from the configuration."""

from __future__ import annotations

from typing import Protocol

from terminal.config import RegisterOptions


class LineError(Exception):
    """The line can't be used at all (a port that is taken, an address that isn't ours); the sentence says what to do."""


class LineEvents(Protocol):
    """Who is told what happens on a line. Called in the event loop; must return at once."""

    def line_opened(self) -> None:
        """The cable is there, or a register has connected."""

    def line_received(self, data: bytes) -> None:
        """Bytes came: any number of frames, or parts of frames."""

    def line_lost(self) -> None:
        """The cable was pulled, or the connection closed. `line_opened` follows when it is back."""


class Line(Protocol):
    """One line. It re-opens itself; whoever uses it never has to."""

    @property
    def name(self) -> str:
        """For the log and the technician, for example `/dev/ttyUSB0` or `127.0.0.1:20007`."""

    async def start(self, events: LineEvents) -> None:
        """Begin. Raises LineError only where trying again can't help (a TCP port that is taken)."""

    def write(self, data: bytes) -> None:
        """Write one frame with one system call. Dropped where no line is open: the protocol's timers notice."""

    def set_rate(self, baud: int) -> None:
        """Change the rate after what was written has left. A line without a rate ignores it."""

    def hangup(self) -> None:
        """Close this connection (TCP), or drop what is half received (serial)."""

    async def close(self) -> None:
        """End for good; `line_lost` is not called any more."""


def open_line(options: RegisterOptions) -> Line:
    """The line that the configuration describes, not yet started."""
    if options.line == "tcp":
        from terminal.register.tcp_line import TcpServerLine

        return TcpServerLine(options.listen_host, options.listen_port)
    from terminal.register.serial_line import SerialLine

    return SerialLine(options.port, options.baud, options.bits, options.reopen_pause_s)
