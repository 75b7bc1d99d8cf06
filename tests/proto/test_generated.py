"""The generated code is what the .proto files say."""

from __future__ import annotations

from pathlib import Path

import pytest

from proto import generate

FOUND = sorted(path for path in (generate.ROOT / "proto" / "palmpay").rglob("*_pb2*") if path.suffix in {".py", ".pyi"})


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated")
    generate.generate(folder)
    return folder


def test_nothing_is_stale(fresh: Path) -> None:
    made = {path.relative_to(fresh): path.read_text() for path in fresh.rglob("*_pb2*")}
    kept = {path.relative_to(generate.ROOT): path.read_text() for path in FOUND}
    assert set(made) == set(kept), "run `make proto` and commit what it makes"
    stale = [str(path) for path, text in made.items() if kept[path] != text]
    assert not stale, f"run `make proto` and commit what it makes: {stale}"


def test_a_changed_proto_would_be_noticed(fresh: Path) -> None:
    """The comparison above reads files that are really made anew."""
    assert len(list(fresh.rglob("*_pb2*.py"))) == 8
    assert len(list(fresh.rglob("*_pb2*.pyi"))) == 8
