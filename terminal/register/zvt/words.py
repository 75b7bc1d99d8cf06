"""ZVT in words: for transcripts and for `palm-terminal trace`. Card data is never shown, whoever sent it."""

from __future__ import annotations

from terminal.register.trace import Describer, Spoken, Who
from terminal.register.zvt import bmp, codes, tlv
from terminal.register.zvt.apdu import Apdu, MalformedError, announced_bytes, parse
from terminal.register.zvt.frame import DLE, STX, Acknowledged, Broken, Framed, Refused, Unwrapper

NAMES: dict[int, str] = {
    0x0401: "set the register's clock", 0x040F: "status information", 0x04FF: "intermediate status", 0x0501: "status enquiry",
    0x0600: "registration", 0x0601: "payment", 0x0602: "log-off", 0x060F: "completion", 0x0610: "turnover totals",
    0x0612: "reprint receipts", 0x0618: "reset", 0x061E: "abort", 0x0620: "repeat receipt", 0x0621: "telephonic authorisation",
    0x0622: "reservation", 0x0623: "partial reversal of a reservation", 0x0624: "book a reservation", 0x0625: "reservation reversal",
    0x0630: "reversal", 0x0631: "refund", 0x0650: "end of day", 0x0670: "diagnosis", 0x0691: "set the terminal's clock",
    0x0693: "initialisation", 0x06B0: "abort by the register", 0x06C0: "read card", 0x06D1: "print line", 0x06D3: "print block",
    0x06E0: "display text", 0x06E2: "numeric input", 0x0840: "change of rate",
}  # fmt: skip
FROM_TERMINAL = frozenset({0x0401, 0x040F, 0x04FF, 0x060F, 0x061E, 0x06D1, 0x06D3})
SECRET = frozenset({0x22, 0x23, 0x24, 0x2D, 0x2E, 0x92, 0x9A, 0xA7, 0xAF, 0x3A, 0x3D, 0x0E})  # card data and passwords
TEXTS = frozenset({0x3B, 0x3C, 0x2A, 0x8B} | set(range(0xF1, 0xF9)) | set(range(0xE1, 0xE9)))
DECIMALS = frozenset({0x0B, 0x0C, 0x0D, 0x29, 0x37, 0x49, 0x87, 0x88, 0xAA})
PASSWORDS = frozenset({0x0600, 0x0501, 0x0610, 0x0612, 0x0620, 0x0630, 0x0631, 0x0650, 0x0691, 0x0693})
PLAIN_BITMAPS = frozenset({0x0401, 0x040F, 0x0601, 0x0622, 0x0623, 0x0624, 0x0625, 0x0670, 0x06E0, 0x06D3})
CONFIG_BITS = (
    (0x02, "register prints payments"), (0x04, "register prints administration"), (0x08, "intermediate status wanted"),
    (0x10, "no amount entry on the terminal"), (0x20, "no administration on the terminal"), (0x80, "receipts by print commands"),
)  # fmt: skip


def describe(apdu: Apdu) -> str:
    """One message in words."""
    if apdu.is_reply:
        error = apdu.error
        said = "yes" if apdu.is_positive else f"no: {error:02X} {codes.result_words(error)}"
        return said + (f" ({apdu.data.hex(' ').upper()})" if apdu.data else "")
    name = NAMES.get(apdu.control, f"command {apdu.control:04X}")
    try:
        details = _details(apdu)
    except (MalformedError, bmp.UnknownBitmapError) as error:
        details = f"can't be read: {error}"
    return f"{name}: {details}" if details else name


def _details(apdu: Apdu) -> str:
    control, data = apdu.control, apdu.data
    if control == 0x06D1:
        return f'"{data[1:].decode("cp437")}"' if len(data) > 1 else "end of the receipt" if data and data[0] & 0x80 else ""
    if control == 0x04FF:
        return _intermediate(data)
    if control == 0x061E:
        code = data[0] if data else 0
        return ", ".join([f"{code:02X} {codes.result_words(code)}", *_bitmaps(data[1:])])
    if control == 0x0840:
        return f"code {data.hex().upper()}"
    if control == 0x060F:
        return _completion(data)
    parts = []
    if control in PASSWORDS and len(data) >= 3:
        parts, data = ["password (not shown)"], data[3:]
    if control == 0x0600 and data:
        parts.append("configuration " + f"{data[0]:02X} (" + ", ".join(w for bit, w in CONFIG_BITS if data[0] & bit) + ")")
        data = data[1:]
        if len(data) >= 2 and data[0] not in (0x03, 0x06):
            parts, data = [*parts, f"currency {data[:2].hex()}"], data[2:]
    if control == 0x0612:
        return ", ".join([*parts, data.hex(" ")])
    if control in PLAIN_BITMAPS or control in PASSWORDS:
        return ", ".join([*parts, *_bitmaps(data)])
    return data.hex(" ").upper()


def _intermediate(data: bytes) -> str:
    if not data:
        return ""
    said = f"{data[0]:02X} {codes.INTERMEDIATE_WORDS.get(data[0], '')}".rstrip()
    if len(data) > 1:
        said += f", wait {data[1]:02X} min"
    return ", ".join([said, *_bitmaps(data[2:])])


def _completion(data: bytes) -> str:
    """Bitmaps after a registration; software version and a state byte after a status enquiry."""
    if len(data) >= 3 and data[0] >> 4 == 0xF:
        size, at = bmp.var_length(data, 0, 3)
        state = data[at + size : at + size + 1]
        return f'software "{data[at : at + size].decode("cp437")}", state {state.hex().upper()}'
    if len(data) == 1:
        return f"state {data.hex().upper()}"
    return ", ".join(_bitmaps(data))


def _bitmaps(data: bytes) -> list[str]:
    return [_bitmap(field) for field in bmp.decode(data)]


def _bitmap(field: bmp.Field) -> str:
    name, value = bmp.NAMES[field.tag], field.value
    if field.tag in SECRET:
        return f"{name} (not shown)"
    if field.tag == 0x04:
        amount = bmp.from_bcd(value)
        return f"{name} {amount // 100}.{amount % 100:02d}"
    if field.tag == 0x27:
        return f"{name} {value[0]:02X} {codes.result_words(value[0])}"
    if field.tag in TEXTS:
        return f'{name} "{value.rstrip(bytes(1)).decode("cp437").rstrip()}"'
    if field.tag == 0x06:
        return "TLV {" + " ".join(_element(e) for e in tlv.decode(value)) + "}"
    return f"{name} {value.hex() if field.tag in DECIMALS else value.hex(' ').upper()}"


def _element(element: tlv.Tlv, depth: int = 0) -> str:
    if element.is_container and depth < tlv.DEPTH_MAX:
        inside = " ".join(_element(e, depth + 1) for e in element.parts())
        return f"{element.tag:X}{{{inside}}}"
    if element.tag == 0x07:
        return f'"{element.value.decode("cp437")}"'
    return f"{element.tag:X}={element.value.hex().upper()}"


def speaker(control: int, who: Who) -> Who:
    """Who says this, where the capture does not tell."""
    if who != "?" or control >> 8 in (0x80, 0x84):
        return who
    return "PT" if control in FROM_TERMINAL else "ECR"


class ZvtDescriber(Describer):
    """Serial or TCP, told apart by the first bytes of each side."""

    def __init__(self) -> None:
        self._unwrappers: dict[Who, Unwrapper] = {}
        self._raw: dict[Who, bytearray] = {}
        self._serial: bool | None = None

    def feed(self, who: Who, data: bytes) -> list[Spoken]:
        """See Describer."""
        if self._serial is None and data:
            self._serial = data[0] in (DLE, 0x06, 0x15) and not (
                data[0] == 0x06 and len(data) > 2 and data[1:3] != bytes((DLE, STX))
            )
        return self._framed(who, data) if self._serial else self._streamed(who, data)

    def _framed(self, who: Who, data: bytes) -> list[Spoken]:
        out = []
        unwrapper = self._unwrappers.setdefault(who, Unwrapper())
        for piece in unwrapper.feed(data):
            match piece:
                case Acknowledged():
                    out.append(Spoken(who, b"\x06", "ACK"))
                case Refused():
                    out.append(Spoken(who, b"\x15", "NAK"))
                case Broken(why):
                    out.append(Spoken(who, b"", f"a frame that can't be read: {why}"))
                case Framed(raw):
                    out.append(self._message(who, raw))
        return out

    def _streamed(self, who: Who, data: bytes) -> list[Spoken]:
        out = []
        buffer = self._raw.setdefault(who, bytearray())
        buffer += data
        while (size := announced_bytes(buffer)) is not None and size <= len(buffer):
            out.append(self._message(who, bytes(buffer[:size])))
            del buffer[:size]
        return out

    def _message(self, who: Who, raw: bytes) -> Spoken:
        try:
            apdu = parse(raw)
        except MalformedError as error:
            return Spoken(who, raw, f"a message whose length is wrong: {error}")
        return Spoken(speaker(apdu.control, who), raw, describe(apdu))
