"""A peer's own environment below .bench/, made once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCH_FOLDER = Path(__file__).resolve().parents[3] / ".bench"
INSTALL_LIMIT_S = 600


def environment(name: str, *requirements: str) -> Path | None:
    """The Python of an environment with `requirements`; None where they can't be installed here."""
    folder = BENCH_FOLDER / name
    python = folder / "bin" / "python"
    if (folder / "ready").exists():
        return python
    try:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=INSTALL_LIMIT_S)
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements],
            check=True,
            timeout=INSTALL_LIMIT_S,
        )
    except (subprocess.SubprocessError, OSError) as error:
        print(f"peer {name} can't be installed here: {error}", file=sys.stderr)
        return None
    (folder / "ready").touch()
    return python
