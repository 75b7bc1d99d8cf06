"""The configuration: what is wrong is named with file, line and key; the template explains every option."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from identity.config import Config, ConfigError, load, template


def test_the_template_is_the_default_and_names_every_option(tmp_path: Path) -> None:
    path = tmp_path / "identity.toml"
    path.write_text(template({}))
    assert load(path).evidence == Config().evidence
    uncommented = re.sub(r"(?m)^# (\w+ = .+)$", r"\1", path.read_text())
    everything = tomllib.loads(uncommented)
    for name, section in Config():
        for key, value in section:
            if value is not None:
                assert key in everything[name], f"[{name}] {key} is not in the template"
    path.write_text(uncommented)
    assert load(path).payments == Config().payments


def test_values_are_written_and_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "identity.toml"
    path.write_text(template({"service": {"listen": "127.0.0.1:0"}, "enrolment": {"tills": ["till-1"]}, "evidence": {"far": 1e-7}}))
    config = load(path)
    assert (config.service.listen, config.enrolment.tills, config.evidence.far) == ("127.0.0.1:0", ("till-1",), 1e-7)
    assert config.storage.database == tmp_path / "identity.sqlite"
    assert config.address_file == tmp_path / "identity.address"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[evidence]\nfarr = 1", r":2: \[evidence\] farr is not an option. Did you mean 'far'"),
        ("[evidense]\nfar = 1", r":1: \[evidense\] is not an option. Did you mean 'evidence'"),
        ("\n[evidence]\nfar = 2.0", r":3: \[evidence\] far: .*less than or equal"),
        ("[evidence]\nfar = 'small'", r":2: \[evidence\] far: .*number"),
        ("[service]\nlisten = 'nowhere'", r":2: \[service\] listen"),
        ("[evidence", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "identity.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        load(path)


def test_a_missing_file_says_how_to_name_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--config"):
        load(tmp_path / "none.toml")
