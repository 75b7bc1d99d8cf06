"""The working folder: emptied only where the stage made it, and for one stage at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from terminal import config
from terminal.simulation.stage.folder import MARK, SOCKET_PATH_MAX, Folder, FolderError, program, terminal_toml


def test_it_is_emptied_at_the_start(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "run")
    folder.claim()
    (folder.root / "old").write_text("x")
    (folder.root / "deep" / "er").mkdir(parents=True)
    folder.release()
    folder.claim()
    assert {entry.name for entry in folder.root.iterdir()} == {MARK, "logs"}
    folder.release()
    folder.release()


def test_a_folder_with_somebody_elses_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FolderError, match="did not make"):
        Folder(tmp_path).claim()
    assert (tmp_path / "thesis.txt").exists()


def test_two_stages_do_not_share_it(tmp_path: Path) -> None:
    first = Folder(tmp_path / "run")
    first.claim()
    with pytest.raises(FolderError, match="Another stage"):
        Folder(tmp_path / "run").claim()
    first.release()


def test_a_socket_fits_even_where_the_folder_is_deep(tmp_path: Path) -> None:
    deep = Folder(tmp_path / ("x" * 120))
    assert len(str(deep.control)) <= SOCKET_PATH_MAX
    assert Folder(tmp_path).control.parent == tmp_path or len(str(tmp_path)) > SOCKET_PATH_MAX - 10


def test_the_terminals_configuration_is_one_that_it_accepts(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.terminal_toml.write_text(
        terminal_toml(
            folder, till="till-1", service="127.0.0.1:7443", register_port="/dev/pts/9", display_port=8081, patience_s=5.0,
            certificates=tmp_path / "certificates",
        )
    )  # fmt: skip
    loaded = config.load(folder.terminal_toml)
    assert loaded.reader.kind == "simulated"
    assert loaded.reader.control_socket == folder.control
    assert loaded.service.certificate.name == "till-1.pem"
    assert loaded.cash_register.port == "/dev/pts/9"


def test_a_program_that_is_not_installed() -> None:
    with pytest.raises(FolderError, match="make install"):
        program("palm-nothing-of-that-name")
