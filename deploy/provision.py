"""From the card's boot partition to the data partition: one settings file and the till's certificates, checked before they count.

`python -m deploy.provision --boot /boot/firmware --data /var/lib/palm-terminal`, at every start. Exit codes: 0 installed, or unchanged;
1 what is on the boot partition can't be used and the earlier settings stay; 2 nothing usable, neither there nor installed.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from deploy.certificates import CertificateError, check_chain, till_of
from terminal.config import Config, ConfigError, load

SETTINGS = "palm-terminal.toml"
INSTALLED_SETTINGS = "terminal.toml"
CERTIFICATES = ("ca.pem", "till.pem", "till.key")
FILE_BYTES_MAX = 64 * 1024
KEPT_MAX = 2  # installations kept: the one in use and the one before

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class ProvisionError(Exception):
    """What is on the boot partition can't be used; the sentence says which file and what to do."""


@dataclass(frozen=True, slots=True)
class Report:
    """What happened. changed: new settings count from now on. warnings: sentences for the technician."""

    changed: bool
    till: str
    warnings: tuple[str, ...] = ()


def provision(boot: Path, data: Path, owner: str | None = None, keep_key: bool = False) -> Report:
    """Check and install. All or nothing: a power cut leaves the old settings or the new ones. Raises ProvisionError."""
    current = data / "config"
    if not (boot / SETTINGS).exists():
        if (current / INSTALLED_SETTINGS).exists():
            return Report(False, _loaded(current / INSTALLED_SETTINGS).shop.till)
        raise ProvisionError(
            f"No {SETTINGS} on the boot partition, and no settings from before. Copy {SETTINGS} and the folder certificates "
            "(ca.pem, till.pem, till.key) onto it; deploy/README.md has an example."
        )
    files = _gather(boot, current)
    name = "config-" + _digest(files)
    target = data / name
    if current.is_symlink() and os.readlink(current) == name and target.is_dir():
        report = Report(False, _loaded(target / INSTALLED_SETTINGS).shop.till)
    else:
        report = _install(files, data, name, owner)
    if not keep_key:
        _remove_key(boot)
    return report


def _gather(boot: Path, current: Path) -> dict[str, bytes]:
    """Installed name -> content. A certificate that is no longer on the boot partition is taken from the settings in use."""
    files = {INSTALLED_SETTINGS: _read(boot / SETTINGS)}
    for name in CERTIFICATES:
        found = next(
            (folder / "certificates" / name for folder in (boot, current) if (folder / "certificates" / name).exists()), None
        )
        if found is None:
            raise ProvisionError(
                f"certificates/{name} is missing on the boot partition. At the service: palm-identity certificates FOLDER --till NAME; "
                "then copy ca.pem, NAME.pem as till.pem and NAME.key as till.key."
            )
        files[f"certificates/{name}"] = _read(found)
    return files


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ProvisionError(f"{path.name}: larger than {FILE_BYTES_MAX} bytes, so it is something else. Copy the right file.")
        return path.read_bytes()
    except OSError as error:
        raise ProvisionError(f"{path.name}: can't be read ({error.strerror}). Check the card in another computer.") from None


def _digest(files: dict[str, bytes]) -> str:
    sum_ = hashlib.sha256()
    for name in sorted(files):
        sum_.update(f"{name}\0{len(files[name])}\0".encode())
        sum_.update(files[name])
    return sum_.hexdigest()[:16]


def _install(files: dict[str, bytes], data: Path, name: str, owner: str | None) -> Report:
    """Write aside, check there, then let one rename decide."""
    aside = data / (name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(mode=0o700)
        (aside / "certificates").mkdir(mode=0o700)
        for file, content in files.items():
            _write(aside / file, content)
        report = _checked(aside)
        if owner is not None:
            _give_to(aside, owner)
        _sync(aside / "certificates")
        _sync(aside)
        shutil.rmtree(data / name, ignore_errors=True)
        aside.rename(data / name)
    except OSError as error:
        raise ProvisionError(f"{data}: can't be written ({error.strerror}). Is the data partition full or damaged?") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    link = data / "config.part"
    link.unlink(missing_ok=True)
    link.symlink_to(name)
    _sync(data)
    link.replace(data / "config")
    _sync(data)
    _drop_old(data, name)
    return report


def _checked(folder: Path) -> Report:
    """Whether what lies in `folder` is complete and fits together. Raises ProvisionError."""
    options = _loaded(folder / INSTALLED_SETTINGS)
    warnings = []
    named = {"ca": options.service.ca, "certificate": options.service.certificate, "key": options.service.key}
    for key, path in named.items():
        if not path.is_file():
            raise ProvisionError(
                f"{SETTINGS}: [service] {key} names {path.name}, which is not in the folder certificates. Leave the option out, or name "
                f"one of {', '.join('certificates/' + name for name in CERTIFICATES)}."
            )
    try:
        warning = check_chain(named["ca"], named["certificate"], named["key"])
        till = till_of(named["certificate"])
    except CertificateError as error:
        raise ProvisionError(f"certificates/{error}") from None
    if warning:
        warnings.append(warning)
    if till != options.shop.till:
        raise ProvisionError(
            f"{SETTINGS}: [shop] till is {options.shop.till!r}, but till.pem was made for {till!r}. Change one of them."
        )
    if options.reader.kind != "picamera2":
        warnings.append(f"[reader] kind is {options.reader.kind}: this terminal looks at no real hand.")
    return Report(True, till, tuple(warnings))


def _loaded(path: Path) -> Config:
    try:
        return load(path)
    except ConfigError as error:
        raise ProvisionError(str(error).replace(str(path), SETTINGS)) from None


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _give_to(folder: Path, owner: str) -> None:
    try:
        user = pwd.getpwnam(owner)
    except KeyError:
        raise ProvisionError(f"There is no user {owner} on this system. Install palm-terminal.sysusers first.") from None
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)


def _drop_old(data: Path, current: str) -> None:
    """Keep the settings before these, for a technician's comparison; older private keys have no business here."""
    others = sorted((p for p in data.glob("config-*") if p.name != current), key=lambda p: p.stat().st_mtime, reverse=True)
    for path in others[KEPT_MAX - 1 :]:
        shutil.rmtree(path, ignore_errors=True)


def _remove_key(boot: Path) -> None:
    """The boot partition can be read in any computer; the private key has no business there once it is installed."""
    key = boot / "certificates" / CERTIFICATES[-1]
    try:
        key.unlink(missing_ok=True)
    except OSError as error:
        raise ProvisionError(
            f"Installed, but {key.name} can't be removed from the boot partition ({error.strerror}). Remove it."
        ) from None


@app.command()
def main(
    boot: Annotated[Path, typer.Option(help="the card's boot partition")] = Path("/boot/firmware"),
    data: Annotated[Path, typer.Option(help="the data partition")] = Path("/var/lib/palm-terminal"),
    owner: Annotated[str | None, typer.Option(help="user who shall own the settings; absent: whoever runs this")] = None,
    keep_key: Annotated[bool, typer.Option(help="leave the private key on the boot partition")] = False,
) -> None:
    """Take settings and certificates from the boot partition, if they are good."""
    try:
        report = provision(boot, data, owner, keep_key)
    except ProvisionError as error:
        before = (data / "config" / INSTALLED_SETTINGS).exists()
        typer.echo(f"SETTINGS NOT TAKEN: {error}")
        typer.echo(
            "The terminal goes on with the settings from before." if before else "The terminal can't start without settings."
        )
        raise typer.Exit(1 if before else 2) from None
    for warning in report.warnings:
        typer.echo(f"note: {warning}")
    typer.echo(f"settings of {report.till}: {'new ones installed' if report.changed else 'unchanged'}")


if __name__ == "__main__":
    app()
