"""pyTeliumManager (MIT) as a register. usage: telium_register.py PORT AMOUNT TYPE

TYPE: debit, credit or cancel. Prints {"present": ..., "taken": ..., "paid": ..., "text": ...}.
"""

from __future__ import annotations

import json
import sys

from telium import Telium, TeliumAsk

TYPES = {"debit": "0", "credit": "1", "cancel": "2"}


def main() -> None:
    port, amount, kind = sys.argv[1:4]
    device = Telium(port)
    present = bool(device.is_ok())
    ask = TeliumAsk("1", "1", TYPES[kind], "1", "978", "A010", "B010", float(amount))
    taken = device.ask(ask)
    answer = device.verify(ask, waiting_timeout=20) if taken else None
    device.close()
    print(
        json.dumps(
            {
                "present": present,
                "taken": bool(taken),
                "paid": bool(answer and answer.has_succeeded),
                "amount": answer.amount if answer else None,
                "text": answer.repport.rstrip() if answer else None,
            }
        )
    )


if __name__ == "__main__":
    main()
