"""pypostelium (AGPL: a process of its own, never imported by this project) as a register. usage: pypostelium_register.py PORT AMOUNT"""

from __future__ import annotations

import json
import logging
import sys

import pypostelium


def main() -> None:
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    driver = pypostelium.Driver({"telium_terminal_device_name": sys.argv[1]})
    said = driver.transaction_start(json.dumps({"amount": float(sys.argv[2]), "payment_mode": "card", "currency_iso": "EUR"}))
    print(json.dumps({"taken": said}))


if __name__ == "__main__":
    main()
