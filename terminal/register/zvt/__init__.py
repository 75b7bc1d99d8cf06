"""ZVT (PA00P015, PA00P016): the payment terminal's side, over serial and TCP."""

from terminal.register.zvt.machine import ZvtMachine, open_machine

__all__ = ["ZvtMachine", "open_machine"]
