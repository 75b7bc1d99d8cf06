"""What deploy/install.sh puts where, with nothing run and nothing touched outside of a folder."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def install(role: str, target: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(DEPLOY / "install.sh"), role],
        env={"PATH": os.environ["PATH"], "DESTDIR": str(target)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("role", ["terminal", "identity"])
def test_every_file_of_the_role_lands_somewhere(role: str, tmp_path: Path) -> None:
    done = install(role, tmp_path)
    assert done.returncode == 0, done.stderr
    landed = {path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for source in (DEPLOY / role).iterdir():
        assert source.read_bytes() in landed, f"{source.name} is not installed"
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in tmp_path.rglob("*") if path.is_file())


def test_twice_is_once(tmp_path: Path) -> None:
    install("terminal", tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert install("terminal", tmp_path).returncode == 0
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("role", ["", "both"])
def test_a_wrong_role_is_told_the_right_ones(role: str, tmp_path: Path) -> None:
    done = install(role, tmp_path)
    assert done.returncode == 2
    assert "terminal|identity" in done.stderr
    assert not list(tmp_path.iterdir())
