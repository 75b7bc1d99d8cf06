"""Every option of the identity service: its unit in its name, its bound, and why it is there.

`load` reads a TOML file; a key that is not known is fatal, and the error names file, line and the nearest key. `template` writes the
commented file that `palm-identity init` puts down.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

NAME = r"^[a-z0-9-]{1,32}$"

SHIPPED_CALIBRATION = Path(__file__).resolve().parent.parent / "models" / "palm.calibration.json"
"""The calibration that comes with the encoder, read as a file: no code of models/ is used here."""


class ConfigError(Exception):
    """The configuration can't be used; the sentence names file, line, key and what would be right."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServiceOptions(_Section):
    """Where and how the service listens."""

    listen: str = Field("127.0.0.1:7443", pattern=r"^[^\s:]+:\d{1,5}$", description="host:port; port 0 lets the system choose")
    ca: Path = Field(Path("certificates/ca.pem"), description="who signs the certificates of tills and operators")
    certificate: Path = Field(Path("certificates/service.pem"), description="the service's certificate")
    key: Path = Field(Path("certificates/service.key"), description="the service's private key")
    streams_max: int = Field(200, ge=1, le=10_000, description="purchases and calls at once; more are refused")
    till_streams_max: int = Field(4, ge=1, le=100, description="purchases at once of one till: paying, and settling old ones")
    searches_at_once: int = Field(2, ge=1, le=64, description="threads that search; as many as cores, the rest waits in line")
    ping_interval_min_s: float = Field(
        10.0, ge=1, le=300, description="tills may ask for a sign of life this often; below theirs (30 s)"
    )
    stop_grace_s: float = Field(5.0, ge=0, le=60, description="purchases in progress have this long when the service stops")


class StorageOptions(_Section):
    """What is kept, and the key to it."""

    database: Path = Field(Path("identity.sqlite"), description="people (sealed) and purchases; on a disk that keeps its promises")
    key_file: Path = Field(Path("people.key"), description="32 bytes that open the records; keep a copy apart from the database's")


class EvidenceOptions(_Section):
    """When a palm is known. See identity/evidence.py for the method."""

    calibration: Path | None = Field(None, description="what cosines of the encoder are worth; absent: the file that came with it")
    far: float = Field(1e-6, gt=0, le=1e-2, description="chance that a stranger's presentation is taken for anybody enrolled")
    single_light_far: float = Field(
        1e-7, gt=0, le=1e-2, description="the same for readers with one light: half the evidence, so stricter"
    )
    probes_min: int = Field(3, ge=2, le=20, description="probes that must each speak for the same person")
    single_light_probes_min: int = Field(6, ge=2, le=40, description="the same for readers with one light")
    margin_log10: float = Field(2.0, ge=0, le=10, description="how far the runner-up must be behind, in powers of ten of the ratio")
    nobody_probes_min: int = Field(30, ge=3, le=100, description="good probes before a palm is said to be nobody's")
    nobody_odds: float = Field(
        3.0,
        gt=0,
        le=100,
        description="below these odds for everybody, a palm is nobody's; being sure takes a million",
    )
    probes_max: int = Field(240, ge=5, le=1000, description="probes of one purchase; then it is given up as unsure")
    quality_min: float = Field(0.2, ge=0, le=1, description="probes below this count for nothing")
    patience_max_s: float = Field(180.0, ge=1, le=600, description="longest that a till may go on sending probes")


class EnrolmentOptions(_Section):
    """Taking people in."""

    tills: tuple[str, ...] = Field((), max_length=1000, description="tills that may enrol; operators always may")
    templates_max: int = Field(5, ge=1, le=8, description="templates kept of one palm")
    duplicate_odds: float = Field(1e3, ge=1, le=1e9, description="odds from which a palm counts as somebody's already")


class PaymentOptions(_Section):
    """The books."""

    open_hours_max: float = Field(
        72.0, ge=1, le=2400, description="an authorised payment that no till settled is reported as expired"
    )
    expiry_interval_s: float = Field(60.0, ge=1, le=3600, description="how often that is looked for")


class TillOptions(_Section):
    """Which tills are not let in."""

    refused: tuple[str, ...] = Field(
        (), max_length=1000, description="names of tills that were lost or stolen, whatever their certificate says"
    )


class OperatorOptions(_Section):
    """How the operator's commands reach the running service."""

    address: str | None = Field(None, pattern=r"^[^\s:]+:\d{1,5}$", description="host:port; absent: where this service listens")
    server_name: str | None = Field(None, description="name in the service's certificate, where it is not the host")
    certificate: Path = Field(Path("certificates/operator.pem"), description="the operator's certificate")
    key: Path = Field(Path("certificates/operator.key"), description="the operator's private key")
    answer_deadline_s: float = Field(30.0, ge=1, le=600, description="until a command must have been answered")


class MetricsOptions(_Section):
    """For monitoring."""

    port: int | None = Field(
        None, ge=0, le=65_535, description="Prometheus text on 127.0.0.1: counts and timings only; absent: none"
    )


class Config(_Section):
    """The whole file."""

    service: ServiceOptions = ServiceOptions()
    storage: StorageOptions = StorageOptions()
    evidence: EvidenceOptions = EvidenceOptions()
    enrolment: EnrolmentOptions = EnrolmentOptions()
    payments: PaymentOptions = PaymentOptions()
    tills: TillOptions = TillOptions()
    operator: OperatorOptions = OperatorOptions()
    metrics: MetricsOptions = MetricsOptions()

    @property
    def address_file(self) -> Path:
        """Where the running service writes host:port, for the operator's commands (the port may have been chosen by the system)."""
        return self.storage.database.with_suffix(".address")


def load(path: Path) -> Config:
    """Read and check a configuration file. Relative paths in it are relative to the file. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: can't be read ({error.strerror}). Give the file with --config FILE.") from None
    try:
        config = Config.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    except ValidationError as error:
        raise ConfigError("\n".join(_sentence(path, text, dict(wrong)) for wrong in error.errors())) from None
    return _anchored(config, path.resolve().parent)


def template(values: dict[str, dict[str, object]]) -> str:
    """The text of a configuration file: every option with its meaning, its bounds and its default; `values` are set, the rest commented."""
    lines = [
        "# The identity service's configuration. An option with # before it has the value shown. Paths are relative to this file."
    ]
    for name, option in Config.model_fields.items():
        section = option.annotation
        assert isinstance(section, type)
        assert issubclass(section, BaseModel)
        lines += ["", f"# {section.__doc__}", f"[{name}]"]
        for key, field in section.model_fields.items():
            bounds = _bounds(field)
            lines.append(f"# {field.description}{f' ({bounds})' if bounds else ''}")
            given = values.get(name, {})
            if key in given:
                lines.append(f"{key} = {_toml(given[key])}")
            else:
                lines.append(f"# {key} = {'' if field.default is None else _toml(field.default)}".rstrip())
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    if isinstance(value, Path):
        value = str(value)
    return repr(value) if isinstance(value, float) else json.dumps(value)


def _bounds(field: FieldInfo) -> str:
    said = [f"{sign} {bound}" for part in field.metadata for sign, bound in _limits(part)]
    return ", ".join(said)


def _limits(part: Any) -> list[tuple[str, Any]]:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    return [(sign, getattr(part, name)) for name, sign in signs.items() if hasattr(part, name)]


def _line_of(text: str, section: str, key: str) -> int:
    """Line number of `key` below `[section]`, or of the section; 0 where it can't be told."""
    here, heading = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if found := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            here = found[1]
            heading = number if here == section else heading
        elif key and here == section and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return number
    return heading


def _sentence(path: Path, text: str, error: dict[str, Any]) -> str:
    location = [str(part) for part in error["loc"]]
    section, key = location[0], location[1] if len(location) > 1 else ""
    line = _line_of(text, section, key)
    where = f"{path}:{line}" if line else str(path)
    name = f"[{section}] {key}".strip()
    if error["type"] != "extra_forbidden":
        return f"{where}: {name}: {error['msg']} (it is {error['input']!r})"
    holder = Config.model_fields[section].annotation if key else Config
    known = list(holder.model_fields) if isinstance(holder, type) and issubclass(holder, BaseModel) else []
    near = difflib.get_close_matches(key or section, known, n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(known)}."
    return f"{where}: {name} is not an option.{hint}"


def _anchored(config: Config, folder: Path) -> Config:
    """The same configuration with relative paths made absolute, so that the working directory does not matter."""
    changed = {}
    for name, section in config:
        paths = {key: folder / value for key, value in section if isinstance(value, Path) and not value.is_absolute()}
        if paths:
            changed[name] = section.model_copy(update=paths)
    return config.model_copy(update=changed)
