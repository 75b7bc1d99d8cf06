"""The part of `make test-camera` that needs neither root nor network: what it takes from the machine, and how it says no."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.terminal.reader.virtual_camera import __main__ as command
from tests.terminal.reader.virtual_camera import root
from tests.terminal.reader.virtual_camera.root import NotAvailable, check_machine, mirror, mirrors

DEB822 = """# a remark
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/archive.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""
ONE_LINE = """# deb http://old.example/debian trixie main
deb [signed-by=/usr/share/keyrings/x.gpg] https://other.example/apt stable main
deb-src http://mirror.example/debian trixie main
deb [arch=amd64] http://second.example/debian trixie main non-free-firmware
"""


def test_the_mirror_is_the_machines_own(tmp_path: Path) -> None:
    assert list(mirrors(DEB822, deb822=True)) == ["http://mirror.example/debian"]
    assert list(mirrors(ONE_LINE, deb822=False)) == ["http://second.example/debian"]
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("# moved\n")
    (tmp_path / "sources.list.d" / "debian.sources").write_text(DEB822)
    assert mirror(tmp_path) == "http://mirror.example/debian"


def test_a_machine_without_debian_sources_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(NotAvailable, match="Debian system"):
        mirror(tmp_path)


def test_without_root_or_mmdebstrap_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALM_TILL_CACHE", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NotAvailable, match="root is needed"):
        check_machine()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(NotAvailable, match="apt install mmdebstrap"):
        check_machine()


def test_not_available_is_neither_passed_nor_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> Path:
        raise NotAvailable("because of this")

    monkeypatch.setenv("PALM_TILL_CACHE", str(tmp_path / "new"))
    monkeypatch.setattr(command, "build", refuse)
    assert command.main() == 2
    assert "camera test not available: because of this" in capsys.readouterr().out


def test_what_goes_into_the_root_is_enough_to_import(tmp_path: Path) -> None:
    command.put_tree_into(tmp_path)
    there = tmp_path / command.INSIDE.lstrip("/")
    assert (there / "terminal/reader/picamera2_reader.py").is_file()
    assert (there / "tests/terminal/reader/virtual_camera/inside.py").is_file()
    assert not list(there.rglob("__pycache__"))
    assert root.root_folder().name.endswith("0.3.38")
