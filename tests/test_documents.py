"""The documents: their links lead somewhere, and the commands that they promise exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("terminal", "identity", "models", "proto", "deploy", "tests")
PAGES = [ROOT / "README.md", *(page for room in ROOMS for page in sorted((ROOT / room).rglob("*.md")))]
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}, which is not there"


def test_every_kind_of_user_has_a_page() -> None:
    linked = set(LINK.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    assert {
        "terminal/README.md",
        "terminal/register/README.md",
        "identity/README.md",
        "deploy/README.md",
        "models/palm.md",
    } <= linked


def test_commands_that_pages_name_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in PAGES:
        for command in re.findall(r"^(?:\$ )?make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE):
            assert command in targets, f"{page.relative_to(ROOT)} names `make {command}`"
