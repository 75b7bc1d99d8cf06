"""The walls of the house: who may import whom (the README's "house" and design notes), read from the source itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOUSE = {"terminal", "identity", "models", "proto", "deploy"}
TOP_LEVEL = {
    ".ci", ".gitignore", "LICENSE", "Makefile", "README.md", "deploy", "identity", "models", "proto", "pyproject.toml", "setup.cfg",
    "terminal", "tests",
}  # fmt: skip

# Room -> rooms it may import besides itself. A room is the longest listed prefix of a module's name.
MAY_IMPORT: dict[str, set[str]] = {
    "terminal.config": set(),
    "terminal.checkout": set(),
    "terminal.journal": {"terminal.checkout"},
    "terminal.reader": {"terminal.config"},
    "terminal.palm": {"terminal.reader.frame", "terminal.config"},
    "terminal.service": {"proto", "terminal.config", "terminal.checkout", "terminal.palm.types"},
    "terminal.register": {"terminal.checkout", "terminal.config"},
    "terminal.display": {"terminal.checkout", "terminal.config"},
    "terminal.simulation": {
        "terminal.config", "terminal.checkout", "terminal.reader", "terminal.palm", "terminal.register", "terminal.display",
    },
    "models": {"terminal.simulation", "terminal.palm", "terminal.reader", "terminal.config"},
    "identity": {"proto"},
    "proto": set(),
    "deploy": {"terminal.config"},
}  # fmt: skip
# These put the parts together; nothing imports them but the command line and the tests.
ASSEMBLY = {"terminal"}


def modules() -> Iterator[tuple[str, Path]]:
    for package in sorted(HOUSE):
        for path in sorted((ROOT / package).rglob("*.py")):
            if "_pb2" in path.name:
                continue
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(name: str, path: Path) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def room(name: str) -> str:
    fitting = [r for r in MAY_IMPORT if name == r or name.startswith(r + ".")]
    return max(fitting, key=len) if fitting else name.split(".")[0]


ALL = list(modules())


@pytest.mark.parametrize(("name", "path"), ALL, ids=[name for name, _ in ALL])
def test_imports_stay_within_the_walls(name: str, path: Path) -> None:
    here = room(name)
    if here in ASSEMBLY:
        return
    for imported in imports(name, path):
        if imported.split(".")[0] not in HOUSE:
            continue
        allowed = {here} | MAY_IMPORT[here]
        assert any(imported == a or imported.startswith(a + ".") for a in allowed), (
            f"{name} imports {imported}: a wall of the house"
        )


def test_the_walls_are_looked_at_where_they_stand() -> None:
    """If a room were renamed, its rule would silently watch nothing."""
    names = {room(name) for name, _ in ALL}
    assert set(MAY_IMPORT) <= names | {"deploy"}


def test_the_terminal_never_learns_of_the_service_nor_of_training() -> None:
    for name, path in ALL:
        for imported in imports(name, path):
            top = imported.split(".")[0]
            if name.startswith("terminal"):
                assert top not in {"identity", "models", "torch", "onnx"}, f"{name} imports {imported}"
            if name.startswith("identity"):
                assert top not in {"terminal", "models", "torch"}, f"{name} imports {imported}"
            if top == "torch":
                assert name.startswith("models"), f"{name} imports torch"


def test_only_the_app_reaches_the_simulation() -> None:
    for name, path in ALL:
        if name.startswith(("terminal.simulation", "models")) or name in {"terminal.app", "terminal.parts", "terminal.cli"}:
            continue
        assert not [i for i in imports(name, path) if i.startswith("terminal.simulation")], name


def test_the_cameras_library_is_imported_only_when_it_is_chosen() -> None:
    for name, path in ALL:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                said = ast.unparse(node)
                assert "picamera2" not in said.split("import")[0 if isinstance(node, ast.ImportFrom) else 1], f"{name}: {said}"


def test_modules_have_one_duty() -> None:
    long = {name: n for name, path in ALL if (n := len(path.read_text(encoding="utf-8").splitlines())) > 450}
    assert not long, f"over 450 lines: {long}"


def test_nothing_else_at_the_top() -> None:
    import subprocess

    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.splitlines()
    if not listed:
        pytest.skip("not a git checkout: what is committed can't be listed")
    assert {line.split("/")[0] for line in listed} <= TOP_LEVEL


def test_no_path_of_a_machine_no_registry_no_photograph() -> None:
    import re
    import subprocess

    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.splitlines()
    if not listed:
        pytest.skip("not a git checkout: what is committed can't be listed")
    # Spelt in pieces so that this file does not find itself.
    machine = re.compile(r"(^|[^A-Za-z0-9_.])/(w" + "ork|f" + "arm|ro" + "ot/)")
    registry = re.compile(r"https?://[a-z.]*(deb" + "ian|py" + "pi|n" + r"pm)[a-z.]*/")
    for line in listed:
        path = ROOT / line
        assert path.suffix.lower() not in {".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}, f"{line}: no photographs here"
        if path.suffix in {".onnx", ".png", ".gz"} or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        assert not machine.search(text), f"{line} names a path of a machine"
        assert not registry.search(text), f"{line} names a package registry's host"
