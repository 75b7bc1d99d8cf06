"""Every option of the terminal: its unit in its name, its bound, and why it is there.

`load` reads a TOML file. A key that is not known is fatal: the error names the file, the line, and the nearest key that exists.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator


class ConfigError(Exception):
    """The configuration can't be used; the sentence names file, line, key and what would be right."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Shop(_Section):
    """Who and where this terminal is."""

    till: str = Field("till-1", pattern=r"^[a-z0-9-]{1,32}$", description="name of this till; the certificate must carry the same")
    currency: str = Field("EUR", pattern=r"^[A-Z]{3}$", description="ISO 4217; the only currency this till takes")
    amount_max_minor: int = Field(
        15_000, ge=1, le=99_999_999, description="a purchase above this is refused before anybody is asked"
    )
    languages: tuple[Literal["en", "de", "fr", "it"], ...] = Field(
        ("en", "de", "fr", "it"), min_length=1, max_length=4, description="shown to the shopper, the first one largest"
    )
    palm_patience_s: float = Field(30.0, ge=3, le=170, description="how long a hand is waited for; below ZVT's 180 s")
    kind: Literal["counter", "pump", "gate"] = Field(
        "counter", description="counter: pay; pump: reserve, charge what was pumped; gate: let in, charge on leaving"
    )
    reservation_hours_max: float | None = Field(
        None, ge=0.1, le=168, description="an open reservation is given back after this time; absent: 1 for a pump, else 24"
    )

    @property
    def reservation_hours(self) -> float:
        """How long a reservation stays open."""
        return self.reservation_hours_max or (1.0 if self.kind == "pump" else 24.0)


class ReaderOptions(_Section):
    """Camera and light."""

    kind: Literal["picamera2", "simulated", "replay"] = Field("picamera2", description="which reader; never guessed")
    width_px: int = Field(640, ge=320, le=1456, description="of the frames asked of the camera")
    height_px: int = Field(400, ge=200, le=1088, description="of the frames asked of the camera")
    rate_hz: float = Field(60.0, ge=5, le=120, description="frames a second while a shopper is expected")
    idle_rate_hz: float = Field(5.0, ge=1, le=30, description="frames a second while nothing is going on")
    exposure_us: int = Field(
        4000, ge=50, le=15_000, description="fixed; shorter than the frame so that banks switch in the dark part"
    )
    gain: float = Field(2.0, ge=1, le=16, description="fixed analogue gain")
    frame_deadline_s: float = Field(1.0, ge=0.1, le=10, description="no frame for this long: the camera is re-opened")
    replay_path: Path | None = Field(None, description="kind replay: a folder of pictures or a video")
    replay_loop: bool = Field(False, description="kind replay: start again at the end")
    replay_paced: bool = Field(True, description="kind replay: at rate_hz or as recorded; false: as fast as frames are asked for")
    control_socket: Path | None = Field(None, description="kind simulated: where a person or a script says which hand is shown")
    simulated_seed: int = Field(1, ge=0, le=2**31, description="kind simulated: which noise, jitter and room")
    bank_pins: tuple[int, int] = Field((17, 27), description="GPIO numbers of the parallel and the crossed bank")
    bank_order: Literal["strobe", "software", "trigger"] = Field("strobe", description="who decides which bank is lit in a frame")
    ring_pin: int | None = Field(18, ge=0, le=27, description="GPIO of the visible ring; absent: no ring")


class PalmOptions(_Section):
    """From frame to probe."""

    hand_model: Path | None = Field(None, description="hand.onnx; absent: the one that came with the program")
    palm_model: Path | None = Field(None, description="palm.onnx; absent: the one that came with the program")
    threads: int = Field(1, ge=1, le=4, description="for the networks; more than one helps only on a Pi 5")
    quality_min: float = Field(0.2, ge=0, le=1, description="probes below this are not sent")


class ServiceOptions(_Section):
    """The identity service."""

    address: str = Field("127.0.0.1:7443", pattern=r"^[^\s:]+:\d{1,5}$", description="host:port")
    server_name: str | None = Field(None, description="name in the service's certificate, where it is not the host")
    ca: Path = Field(Path("certificates/ca.pem"), description="who signs the service's certificate")
    certificate: Path = Field(Path("certificates/till.pem"), description="this till's certificate")
    key: Path = Field(Path("certificates/till.key"), description="this till's private key")
    connect_deadline_s: float = Field(5.0, ge=0.5, le=60, description="until the service must have answered a new connection")
    answer_deadline_s: float = Field(
        10.0, ge=1, le=60, description="until the service must have answered capture, reverse or enrolment"
    )
    keepalive_s: float = Field(
        30.0, ge=10, le=600, description="a dead connection is noticed after this; the service must allow it"
    )
    backoff_max_s: float = Field(30.0, ge=1, le=300, description="longest pause between two tries to settle or to connect")


class RegisterOptions(_Section):
    """The cash register."""

    protocol: Literal["zvt", "concert", "concert-v3", "ecr17", "transbank"] = Field("zvt", description="what the register speaks")
    line: Literal["serial", "tcp"] = Field("serial", description="cable or network")
    port: str = Field("/dev/ttyUSB0", description="serial device, best a name below /dev/serial/by-path")
    baud: int = Field(9600, ge=300, le=115_200, description="bits a second")
    bits: Literal["8N1", "8N2", "7E1"] = Field("8N1", description="data bits, parity, stop bits")
    listen_host: str = Field("127.0.0.1", description="line tcp: address to listen on")
    listen_port: int = Field(20007, ge=0, le=65_535, description="line tcp: port; 0 lets the system choose")
    terminal_id: str = Field("00000001", pattern=r"^\d{8}$", description="eight digits, as the register knows this terminal")
    password: str | None = Field(None, pattern=r"^\d{6}$", description="ZVT: checked only when given")
    reopen_pause_s: float = Field(1.0, ge=0.1, le=30, description="between tries to open a port that is gone")
    concert_unheard_approval: Literal["void", "keep"] = Field(
        "void", description="Concert A010: approved, but nobody took the answer"
    )


class EnrolmentOptions(_Section):
    """Attended enrolment at the till."""

    code_minor: int | None = Field(
        None, ge=1, le=99_999_999, description="a payment of exactly this amount opens enrolment and takes nothing; absent: none"
    )
    limit_minor: int = Field(5_000, ge=1, le=99_999_999, description="most that one purchase of a new account may cost")
    token_prefix: str = Field("till:", max_length=64, description="before the register's own text in the account's payment token")
    consent_text_version: str = Field("", max_length=64, description="which text the person has agreed to; needed with code_minor")
    looks: int = Field(12, ge=10, le=40, description="good looks to take")

    @model_validator(mode="after")
    def _consent_is_named(self) -> EnrolmentOptions:
        if self.code_minor is not None and not self.consent_text_version:
            raise ValueError("code_minor needs consent_text_version: nobody is enrolled without a text that they agreed to")
        return self


class DisplayOptions(_Section):
    """The shopper's page."""

    host: str = Field("127.0.0.1", description="address of the page; the Pi's own browser shows it")
    port: int = Field(8080, ge=0, le=65_535, description="0 lets the system choose")


class JournalOptions(_Section):
    """Purchases that survive a power cut."""

    folder: Path = Field(Path("/var/lib/palm-terminal"), description="on the journalled data partition")
    keep_days: int = Field(30, ge=1, le=400, description="settled purchases older than this are dropped")


class MetricsOptions(_Section):
    """For the shop's monitoring."""

    port: int | None = Field(None, ge=0, le=65_535, description="Prometheus text on 127.0.0.1; absent: none")


class Config(_Section):
    """The whole file."""

    shop: Shop = Shop()
    reader: ReaderOptions = ReaderOptions()
    palm: PalmOptions = PalmOptions()
    service: ServiceOptions = ServiceOptions()
    cash_register: RegisterOptions = Field(RegisterOptions(), alias="register")  # `register` is a method of ABCMeta
    enrolment: EnrolmentOptions = EnrolmentOptions()
    display: DisplayOptions = DisplayOptions()
    journal: JournalOptions = JournalOptions()
    metrics: MetricsOptions = MetricsOptions()


def load(path: Path) -> Config:
    """Read and check a configuration file. Relative paths in it are relative to the file. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: can't be read ({error.strerror}). Give the file with --config FILE.") from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(_sentence(path, text, dict(e)) for e in error.errors())) from None
    return _anchored(config, path.resolve().parent)


def _line_of(text: str, section: str, key: str) -> int:
    """Line number of `key` below `[section]`; 0 where it can't be told."""
    here = ""
    for number, line in enumerate(text.splitlines(), 1):
        if found := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            here = found[1]
            if not key and here == section:
                return number
        elif key and here == section and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return number
    return 0


def _sentence(path: Path, text: str, error: dict[str, object]) -> str:
    location = [str(part) for part in error["loc"]]  # type: ignore[attr-defined]
    section, key = (location[0], location[1]) if len(location) > 1 else (location[0], "")
    line = _line_of(text, section, key) or _line_of(text, "", section)
    where = f"{path}:{line}" if line else str(path)
    name = f"[{section}] {key}".strip() if key else f"[{section}]"
    if error["type"] != "extra_forbidden":
        return f"{where}: {name}: {error['msg']} (it is {error['input']!r})"
    sections = {option.alias or name: option.annotation for name, option in Config.model_fields.items()}
    field = sections[section] if key else Config
    fields = field.model_fields if isinstance(field, type) and issubclass(field, BaseModel) else {}
    known = [option.alias or name for name, option in fields.items()]
    near = difflib.get_close_matches(key or section, known, n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(known)}."
    return f"{where}: {name} is not an option.{hint}"


def _anchored(config: Config, folder: Path) -> Config:
    """The same configuration with relative paths made absolute, so that the working directory does not matter."""
    changed = {}
    for name, section in config:
        paths = {k: folder / v for k, v in section if isinstance(v, Path) and not v.is_absolute()}
        if paths:
            changed[name] = section.model_copy(update=paths)
    return config.model_copy(update=changed)
