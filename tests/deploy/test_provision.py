"""Settings and certificates from the boot partition: good ones, bad ones, and a power cut in between."""

from __future__ import annotations

import datetime
import os
import shutil
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from deploy import provision as module
from deploy.provision import CERTIFICATES, SETTINGS, ProvisionError, app, provision
from identity.certificates import Authority
from terminal.config import load

SETTINGS_TEXT = """
[shop]
till = "till-7"
currency = "EUR"

[service]
address = "identity.example:7443"

[register]
protocol = "zvt"
port = "/dev/serial/by-path/x"
"""


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates as an operator of the service makes them, for two tills."""
    folder = tmp_path_factory.mktemp("service")
    authority = Authority(folder, False)
    authority.till("till-7")
    authority.till("till-8")
    authority.operator("anna")
    return folder


@pytest.fixture
def boot(tmp_path: Path, shop: Path) -> Path:
    folder = tmp_path / "boot"
    put(folder, shop)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def put(folder: Path, shop: Path, till: str = "till-7", text: str = SETTINGS_TEXT) -> None:
    certificates = folder / "certificates"
    certificates.mkdir(parents=True, exist_ok=True)
    (folder / SETTINGS).write_text(text)
    shutil.copy(shop / "ca.pem", certificates / "ca.pem")
    shutil.copy(shop / f"{till}.pem", certificates / "till.pem")
    shutil.copy(shop / f"{till}.key", certificates / "till.key")


def test_good_settings_are_installed_and_the_terminal_can_load_them(boot: Path, data: Path) -> None:
    report = provision(boot, data)
    assert report == module.Report(True, "till-7")
    config = load(data / "config" / "terminal.toml")
    assert config.shop.till == "till-7"
    assert config.service.key.is_file()
    assert all((data / "config" / "certificates" / name).is_file() for name in CERTIFICATES)


def test_the_private_key_leaves_the_boot_partition_and_is_the_users_alone(boot: Path, data: Path) -> None:
    provision(boot, data)
    assert not (boot / "certificates" / "till.key").exists()
    installed = data / "config" / "certificates" / "till.key"
    assert stat.S_IMODE(installed.stat().st_mode) == 0o600
    assert stat.S_IMODE(installed.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(installed.parent.parent.stat().st_mode) == 0o700


def test_the_key_stays_where_that_is_asked_for(boot: Path, data: Path) -> None:
    provision(boot, data, keep_key=True)
    assert (boot / "certificates" / "till.key").exists()


def test_again_and_again_changes_nothing(boot: Path, data: Path) -> None:
    provision(boot, data)
    before = os.readlink(data / "config")
    inode = (data / "config" / "terminal.toml").stat().st_ino
    for _ in range(3):
        assert not provision(boot, data).changed
    assert os.readlink(data / "config") == before
    assert (data / "config" / "terminal.toml").stat().st_ino == inode


def test_new_settings_come_without_the_key_and_the_ones_before_are_kept_once(boot: Path, data: Path) -> None:
    provision(boot, data)
    for amount in (100, 200, 300):
        (boot / SETTINGS).write_text(SETTINGS_TEXT.replace("[service]", f"amount_max_minor = {amount}\n[service]"))
        assert provision(boot, data).changed
    assert load(data / "config" / "terminal.toml").shop.amount_max_minor == 300
    assert len(list(data.glob("config-*"))) == module.KEPT_MAX


def test_an_empty_boot_partition_keeps_what_is_installed(boot: Path, data: Path, tmp_path: Path) -> None:
    provision(boot, data)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert provision(empty, data) == module.Report(False, "till-7")


def test_nothing_anywhere_says_what_to_copy(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ProvisionError, match=r"Copy palm-terminal.toml and the folder certificates"):
        provision(tmp_path, data)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[shop]\ntill = ", "not valid TOML"),
        ('[shop]\ntil = "till-7"\n', "Did you mean 'till'"),
        (SETTINGS_TEXT + "baud = 12\n", "baud"),
        (SETTINGS_TEXT.replace("till-7", "till-8"), "made for 'till-7'"),
        (SETTINGS_TEXT.replace("[register]", 'ca = "certificates/other.pem"\n[register]'), r"\[service\] ca names other.pem"),
        ("x" * 70_000, "larger than"),
    ],
)
def test_bad_settings_are_refused_by_name_and_the_ones_before_stay(boot: Path, data: Path, text: str, said: str) -> None:
    provision(boot, data)
    before = os.readlink(data / "config")
    (boot / SETTINGS).write_text(text)
    with pytest.raises(ProvisionError, match=said) as caught:
        provision(boot, data)
    assert SETTINGS in str(caught.value)
    assert str(data) not in str(caught.value), "the technician knows the file on the card, not where it was copied to"
    assert os.readlink(data / "config") == before
    assert not list(data.glob("*.part"))


def test_a_line_number_of_the_technicians_own_file_is_named(boot: Path, data: Path) -> None:
    (boot / SETTINGS).write_text("[shop]\ntill = 'till-7'\ncurency = 'EUR'\n")
    with pytest.raises(ProvisionError, match=rf"^{SETTINGS}:3: "):
        provision(boot, data)


def test_certificates_of_two_services_do_not_fit(boot: Path, data: Path, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other", False)
    other.till("till-7")
    shutil.copy(tmp_path / "other" / "ca.pem", boot / "certificates" / "ca.pem")
    with pytest.raises(ProvisionError, match=r"not signed by ca\.pem"):
        provision(boot, data)


def test_a_key_of_another_till_does_not_fit(boot: Path, data: Path, shop: Path) -> None:
    shutil.copy(shop / "till-8.key", boot / "certificates" / "till.key")
    with pytest.raises(ProvisionError, match=r"till\.key does not belong to till\.pem"):
        provision(boot, data)


def test_an_operators_certificate_is_no_tills(boot: Path, data: Path, shop: Path) -> None:
    shutil.copy(shop / "anna.pem", boot / "certificates" / "till.pem")
    shutil.copy(shop / "anna.key", boot / "certificates" / "till.key")
    with pytest.raises(ProvisionError, match="made for no till"):
        provision(boot, data)


@pytest.mark.parametrize("name", CERTIFICATES)
def test_a_missing_or_damaged_certificate_is_named(boot: Path, data: Path, name: str) -> None:
    path = boot / "certificates" / name
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ProvisionError, match=name):
        provision(boot, data)
    path.unlink()
    with pytest.raises(ProvisionError, match=f"{name} is missing"):
        provision(boot, data)


def test_no_error_repeats_the_key(boot: Path, data: Path) -> None:
    key = boot / "certificates" / "till.key"
    secret = key.read_text().splitlines()[1]
    key.write_text(key.read_text().replace("PRIVATE KEY", "PRIVATE CAT"))
    with pytest.raises(ProvisionError) as caught:
        provision(boot, data)
    assert secret not in str(caught.value)


@pytest.mark.parametrize("cut_at", range(12))
def test_a_power_cut_leaves_the_old_settings_or_the_new_ones(
    boot: Path, data: Path, monkeypatch: pytest.MonkeyPatch, cut_at: int
) -> None:
    """The process dies at each sync and each rename in turn; what is installed always loads."""
    provision(boot, data, keep_key=True)
    (boot / SETTINGS).write_text(SETTINGS_TEXT.replace("EUR", "CHF"))

    class Cut(BaseException):
        pass

    count = 0

    def cutting(real: object) -> object:
        def step(*arguments: object, **named: object) -> object:
            nonlocal count
            count += 1
            if count > cut_at:
                raise Cut
            return real(*arguments, **named)  # type: ignore[operator]

        return step

    monkeypatch.setattr(os, "fsync", cutting(os.fsync))
    monkeypatch.setattr(Path, "rename", cutting(Path.rename))
    monkeypatch.setattr(Path, "replace", cutting(Path.replace))
    monkeypatch.setattr(Path, "symlink_to", cutting(Path.symlink_to))
    monkeypatch.setattr(shutil, "rmtree", cutting(shutil.rmtree))
    try:
        provision(boot, data, keep_key=True)
        finished = True
    except Cut:
        finished = False
    monkeypatch.undo()
    currency = load(data / "config" / "terminal.toml").shop.currency
    assert currency in {"EUR", "CHF"}
    if finished:
        assert currency == "CHF"
    provision(boot, data, keep_key=True)
    assert load(data / "config" / "terminal.toml").shop.currency == "CHF"


def dated(folder: Path, first_day: int, last_day: int) -> None:
    """An authority and a till's certificate, valid between two days from now."""
    now = datetime.datetime.now(datetime.UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    start, end = now + datetime.timedelta(days=first_day), now + datetime.timedelta(days=last_day)
    base = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).not_valid_after(end)
    ca = base.serial_number(1).not_valid_before(start).add_extension(x509.BasicConstraints(True, None), True)
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "till-7")])
    till = x509.CertificateBuilder().subject_name(own).issuer_name(name).public_key(key.public_key()).not_valid_after(end)
    till = till.serial_number(2).not_valid_before(start)
    till = till.add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier("palmpay://till/till-7")]), False)
    for file, builder in (("ca.pem", ca), ("till.pem", till)):
        (folder / file).write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    (folder / "till.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))


def test_a_clock_that_has_not_found_the_time_is_a_note_not_a_refusal(boot: Path, data: Path) -> None:
    dated(boot / "certificates", 10, 20)
    report = provision(boot, data)
    assert report.changed
    assert "not valid yet by this board's clock" in report.warnings[0]


def test_expired_certificates_are_refused(boot: Path, data: Path) -> None:
    dated(boot / "certificates", -20, -10)
    with pytest.raises(ProvisionError, match="expired"):
        provision(boot, data)


def test_a_terminal_that_looks_at_no_real_hand_is_noted(boot: Path, data: Path) -> None:
    (boot / SETTINGS).write_text(SETTINGS_TEXT + '\n[reader]\nkind = "simulated"\n')
    assert "no real hand" in provision(boot, data).warnings[0]


def test_the_owner_must_exist(boot: Path, data: Path) -> None:
    with pytest.raises(ProvisionError, match=r"palm-terminal\.sysusers"):
        provision(boot, data, owner="nobody-of-this-name")


def test_the_command_says_it_on_the_screen_with_its_exit_code(boot: Path, data: Path, tmp_path: Path) -> None:
    run = CliRunner()
    where = ["--boot", str(boot), "--data", str(data)]
    nothing = run.invoke(app, ["--boot", str(tmp_path / "none"), "--data", str(data)])
    assert nothing.exit_code == 2
    assert "SETTINGS NOT TAKEN" in nothing.output
    good = run.invoke(app, where)
    assert (good.exit_code, good.output) == (0, "settings of till-7: new ones installed\n")
    (boot / SETTINGS).write_text("[shop]\nx = 1\n")
    bad = run.invoke(app, where)
    assert bad.exit_code == 1
    assert "goes on with the settings from before" in bad.output
