"""What the shopper and the technician see.

`Display` is the port; `terminal.display.server.PageDisplay` is the page, `RecordedDisplay` is for tests. Guidance is passed as its
value (a string), since this room does not look into the palm pipeline.
"""

from terminal.display.view import Display, RecordedDisplay, View

__all__ = ["Display", "RecordedDisplay", "View"]
