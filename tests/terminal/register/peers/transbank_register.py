"""transbank-pos-sdk (BSD-3) as a register. usage: transbank_register.py PORT COMMAND [AMOUNT]

COMMAND: poll, load_keys, sale, sale_status, last_sale, refund, totals, close. Prints {"answer": ..., "progress": [...]}.
"""

from __future__ import annotations

import json
import sys

from transbank.POS.POSIntegrado import POSIntegrado


def main() -> None:
    port, command = sys.argv[1:3]
    number = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    pos = POSIntegrado()
    progress: list[object] = []
    pos.timeout = 100
    pos.open_port(port, 115200)
    calls = {
        "poll": pos.poll,
        "load_keys": pos.load_keys,
        "sale": lambda: pos.sale(number, "TICK01"),
        "sale_status": lambda: pos.sale(number, "TICK01", True, progress.append),
        "last_sale": pos.last_sale,
        "refund": lambda: pos.refund(number),
        "totals": pos.totals,
        "close": pos.close,
    }
    answer = calls[command]()
    pos.close_port()
    print(json.dumps({"answer": answer, "progress": progress}, default=str))


if __name__ == "__main__":
    main()
