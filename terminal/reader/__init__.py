"""Light and camera: frames that say which light they were taken in."""

from __future__ import annotations

from terminal.config import ReaderOptions
from terminal.reader.frame import Reader, ReaderError


def open_reader(options: ReaderOptions) -> Reader:
    """The reader that the configuration names, opened; its `open` is for a supervisor that has closed it.

    Raises ReaderError with a sentence for a technician: the library is missing, nothing is at the path, no camera answers.
    """
    if options.kind == "simulated":
        raise ReaderError("kind simulated is opened by the terminal's app alone. Start it with palm-terminal run.")
    reader: Reader
    if options.kind == "replay":
        from terminal.reader.replay import ReplayReader

        reader = ReplayReader(options)
    else:
        # Only when chosen: a terminal without a camera has no libcamera, and must not look for one.
        from terminal.reader.picamera2_reader import reader_on_this_board

        reader = reader_on_this_board(options)
    reader.open()
    return reader
