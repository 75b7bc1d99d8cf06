"""What is wrong with a configuration is said with file, line, key, and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from terminal.config import Config, ConfigError, load


def refused(folder: Path, text: str) -> str:
    path = folder / "terminal.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(path)
    return str(caught.value)


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    path = tmp_path / "terminal.toml"
    path.write_text("")
    config = load(path)
    assert config.shop == Config().shop
    assert config.service.ca == tmp_path / "certificates/ca.pem", "relative paths are relative to the file"


def test_an_unknown_key_names_line_and_the_nearest_one(tmp_path: Path) -> None:
    said = refused(tmp_path, '[shop]\ntill = "till-1"\n\n[reader]\nexposure_ms = 4\n')
    assert "terminal.toml:5" in said
    assert "[reader] exposure_ms is not an option" in said
    assert "Did you mean 'exposure_us'?" in said


def test_an_unknown_section_names_the_nearest_one(tmp_path: Path) -> None:
    assert "Did you mean 'register'?" in refused(tmp_path, "[registers]\n")


@pytest.mark.parametrize(
    ("section", "line", "words"),
    [
        ("shop", "palm_patience_s = 500", "less than or equal to 170"),
        ("shop", "palm_patience_s = \"30 s\"", "valid number"),
        ("shop", "currency = \"euro\"", "match pattern"),
        ("reader", "exposure_us = 20", "greater than or equal to 50"),
        ("reader", "kind = \"webcam\"", "'picamera2', 'simulated' or 'replay'"),
        ("service", "address = \"nowhere\"", "match pattern"),
        ("register", "baud = 12", "greater than or equal to 300"),
    ],
)  # fmt: skip
def test_a_wrong_value_names_its_line_and_its_bound(tmp_path: Path, section: str, line: str, words: str) -> None:
    said = refused(tmp_path, f"\n[{section}]\n{line}\n")
    assert "terminal.toml:3" in said
    assert words in said


def test_several_mistakes_are_all_said(tmp_path: Path) -> None:
    assert len(refused(tmp_path, "[shop]\nx = 1\ny = 2\n").splitlines()) == 2


def test_a_missing_file_and_a_broken_one_are_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        load(tmp_path / "none.toml")
    assert "not valid TOML" in refused(tmp_path, "[shop\n")


def test_every_option_says_what_it_is_for() -> None:
    for name, section in Config.model_fields.items():
        options = section.annotation
        assert options is not None
        for key, field in options.model_fields.items():
            assert field.description, f"[{name}] {key} has no reason"
