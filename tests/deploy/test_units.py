"""Units, udev rules and users: checked with systemd's own tools where they are installed, and by what they must say in any case."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import fault

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
UNITS = sorted(DEPLOY.rglob("*.service"))
SERVED = [unit for unit in UNITS if unit.name in {"palm-terminal.service", "palm-identity.service"}]
RULES = DEPLOY / "terminal" / "70-palm-terminal.rules"
EXPOSURE_MAX = {
    "palm-terminal.service": 3.0,
    "palm-identity.service": 2.0,
    "palm-provision.service": 3.0,
    "palm-fault.service": 6.0,
}
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here")


def settings(unit: Path, section: str) -> dict[str, list[str]]:
    """Key -> its values, in order; systemd's files repeat keys, which configparser does not."""
    found: dict[str, list[str]] = {}
    here = ""
    for line in unit.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            here = line.strip("[]")
        elif "=" in line and not line.startswith("#") and here == section:
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_there_are_units_to_look_at() -> None:
    assert {unit.name for unit in UNITS} == set(EXPOSURE_MAX)


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_every_line(unit: Path, tmp_path: Path) -> None:
    """Copies, with a program that is there instead of the one in /opt."""
    for each in UNITS:
        text = re.sub(r"ExecStart=/opt/palm-till/bin/\S+", f"ExecStart={sys.executable}", each.read_text(encoding="utf-8"))
        (tmp_path / each.name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(tmp_path / unit.name)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if unit.name in line or "palm-" in line]
    assert not said, said
    assert done.returncode == 0, done.stderr


@needs_systemd
def test_verify_would_notice_a_wrong_line(tmp_path: Path) -> None:
    wrong = tmp_path / "palm-wrong.service"
    wrong.write_text(f"[Service]\nExecStart={sys.executable}\nResart=always\n")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(wrong)], capture_output=True, text=True, timeout=60, check=False
    )
    assert "Resart" in done.stderr


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_exposure_stays_below_its_limit(unit: Path) -> None:
    """systemd's own score, 0 (locked) to 10 (bare); each unit has its limit, so that loosening one is noticed."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    if found is None and "offline" in done.stderr:
        pytest.skip("this systemd-analyze can't look at a unit that is not installed")
    assert found is not None, done.stderr
    assert float(found[1]) <= EXPOSURE_MAX[unit.name]


@pytest.mark.parametrize("unit", SERVED, ids=lambda unit: unit.name)
def test_no_palm_reaches_a_disk_by_a_crash_or_by_swapping(unit: Path) -> None:
    service = settings(unit, "Service")
    assert service["LimitCORE"] == ["0"]
    assert service["MemorySwapMax"] == ["0"]
    assert service["UMask"] == ["0077"]


@pytest.mark.parametrize("unit", SERVED, ids=lambda unit: unit.name)
def test_five_restarts_in_a_minute_at_most_and_none_for_bad_settings(unit: Path) -> None:
    assert settings(unit, "Unit")["StartLimitIntervalSec"] == ["60"]
    assert settings(unit, "Unit")["StartLimitBurst"] == ["5"]
    assert settings(unit, "Service")["Restart"] == ["always"]
    assert settings(unit, "Service")["RestartPreventExitStatus"] == ["2"]


def test_the_terminal_is_watched_and_its_end_is_shown() -> None:
    unit = DEPLOY / "terminal" / "palm-terminal.service"
    service = settings(unit, "Service")
    assert service["Type"] == ["notify"]
    assert 5 <= int(service["WatchdogSec"][0]) <= 30
    assert int(service["TimeoutStartSec"][0]) >= 60, "a first inference on a cold card is slow"
    assert settings(unit, "Unit")["OnFailure"] == ["palm-fault.service"]
    assert "network-online.target" not in " ".join(settings(unit, "Unit").get("After", []))


def test_users_in_units_are_made_by_sysusers_and_in_their_groups() -> None:
    users = "\n".join(path.read_text(encoding="utf-8") for path in DEPLOY.rglob("*.sysusers"))
    for unit in SERVED:
        service = settings(unit, "Service")
        assert re.search(rf"^u {service['User'][0]} ", users, re.M)
        for group in " ".join(service.get("SupplementaryGroups", [])).split():
            assert re.search(rf"^m {service['User'][0]} {group}$", users, re.M)


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not installed here")
@pytest.mark.parametrize("file", sorted(DEPLOY.rglob("*.sysusers")), ids=lambda file: file.name)
def test_sysusers_understands_the_users(file: Path, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "group").write_text("video:x:44:\nrender:x:106:\ndialout:x:20:\n")
    done = subprocess.run(
        ["systemd-sysusers", "--dry-run", f"--root={tmp_path}", str(file)], capture_output=True, text=True, timeout=30, check=False
    )
    if "dry-run" in done.stderr and "unrecognized" in done.stderr:
        pytest.skip("this systemd-sysusers has no --dry-run")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("file", sorted(DEPLOY.rglob("*.conf")), ids=lambda file: file.name)
def test_drop_ins_are_whole(file: Path) -> None:
    parser = configparser.ConfigParser(strict=True)
    parser.read_string(file.read_text(encoding="utf-8"))
    assert parser.sections()


# --- udev rules -------------------------------------------------------------------------------------------------------------

_MATCH = {"ACTION", "SUBSYSTEM", "SUBSYSTEMS", "KERNEL", "KERNELS", "DRIVER", "DRIVERS", "ATTR", "ATTRS", "ENV", "TAG"}
_SET = {"ATTR", "ENV", "SYMLINK", "GROUP", "OWNER", "MODE", "TAG", "NAME"}
_TOKEN = re.compile(r'([A-Z_]+)(?:\{([^}]+)\})?(==|!=|\+=|-=|:=|=)"([^"]*)"')


def rules() -> list[list[tuple[str, str, str, str]]]:
    """Each rule as (key, attribute, operator, value)."""
    parsed = []
    for line in RULES.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        tokens = [found.groups(default="") for found in _TOKEN.finditer(line)]
        rest = re.sub(r"[,\s]", "", _TOKEN.sub("", line))
        assert not rest, f"not understood: {rest!r} in {line!r}"
        parsed.append([(key, attribute, operator, value) for key, attribute, operator, value in tokens])
    return parsed


def test_each_rule_matches_first_and_sets_something() -> None:
    assert rules()
    for rule in rules():
        assert rule[0][0] == "ACTION"
        assert [t for t in rule if t[2] in {"=", "+=", ":="}], f"sets nothing: {rule}"
        for key, attribute, operator, _ in rule:
            assert key in (_MATCH if operator in {"==", "!="} else _SET), f"{key}{operator}"
            assert bool(attribute) == (key in {"ATTR", "ATTRS", "ENV"})


def test_the_ftdi_rule_sets_one_millisecond() -> None:
    (rule,) = [rule for rule in rules() if ("DRIVER", "", "==", "ftdi_sio") in rule]
    assert ("ATTR", "latency_timer", "=", "1") in rule
    assert ("SUBSYSTEM", "", "==", "usb-serial") in rule


def test_modem_manager_keeps_off_devices_and_ports() -> None:
    set_ = {(attribute, value) for rule in rules() for key, attribute, operator, value in rule if key == "ENV" and operator == "="}
    assert {("ID_MM_DEVICE_IGNORE", "1"), ("ID_MM_PORT_IGNORE", "1")} <= set_


def test_the_registers_name_comes_from_where_it_is_plugged_in() -> None:
    (rule,) = [rule for rule in rules() if any(token[0] == "SYMLINK" for token in rule)]
    assert ("SYMLINK", "", "+=", "palm-register/$env{ID_PATH}") in rule
    assert ("ENV", "ID_PATH", "==", "?*") in rule, "without a path all adapters would share one name"


@pytest.mark.skipif(shutil.which("udevadm") is None, reason="udevadm is not installed here")
def test_udev_understands_the_rules() -> None:
    done = subprocess.run(["udevadm", "verify", str(RULES)], capture_output=True, text=True, timeout=30, check=False)
    if "Unknown command" in done.stderr or "nknown" in done.stderr:
        pytest.skip("this udevadm is older than 254 and has no `verify`")
    assert done.returncode == 0, done.stderr + done.stdout


# --- what stands on the screen -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "code", "status", "shown"),
    [
        ("exit-code", "1", "2", "P2"),
        ("start-limit-hit", "2", "6", "P3"),
        ("watchdog", "3", "6", "P3"),
        ("start-limit-hit", "1", "1", "P4"),
        ("timeout", "2", "15", "P5"),
        ("", "", "", "P9"),
        ("signal", "2", "11", "P9"),
    ],
)
def test_a_fault_has_a_code_and_says_what_to_do(result: str, code: str, status: str, shown: str) -> None:
    told, sentence = fault.fault_of(result, code, status)
    assert told == shown
    assert sentence.endswith(".")


def test_codes_are_unique() -> None:
    codes = [code for code, _ in fault.FAULTS.values()] + [fault.UNKNOWN[0]]
    assert len(set(codes)) == len(codes)


def test_the_screen_is_written_even_where_systemd_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", refuse)
    fault.main()
    assert "OUT OF ORDER   P9" in capsys.readouterr().out


@pytest.mark.parametrize("unit", SERVED, ids=lambda unit: unit.name)
def test_the_units_folder_is_made_for_its_user(unit: Path) -> None:
    service = settings(unit, "Service")
    user = service["User"][0]
    tmpfiles = (unit.parent / f"{user}.tmpfiles").read_text(encoding="utf-8")
    assert f"d /var/lib/{service['StateDirectory'][0]} 0700 {user} {user} -" in tmpfiles
