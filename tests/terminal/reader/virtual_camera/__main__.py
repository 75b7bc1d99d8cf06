"""Make the root if it is missing, put this tree into it, and run `inside.py` there. Exit: 0 passed, 1 failed, 2 not available."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

from tests.terminal.reader.virtual_camera.root import NotAvailable, build, cache_folder

TREE = Path(__file__).resolve().parents[4]
TAKEN = (
    "terminal/__init__.py",
    "terminal/config.py",
    "terminal/reader",
    "tests/__init__.py",
    "tests/terminal/__init__.py",
    "tests/terminal/reader",
)
RUN_LIMIT_S = 300
INSIDE = "/opt/palm-till"


def put_tree_into(root: Path) -> None:
    """Copy what the tests need; no mount, so that nothing can be left mounted."""
    target = root / INSIDE.lstrip("/")
    shutil.rmtree(target, ignore_errors=True)
    for name in TAKEN:
        source, goal = TREE / name, target / name
        goal.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, goal, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, goal)


def main() -> int:
    """Everything; see the module."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "virtual-camera.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs would copy over each other
        try:
            root = build()
        except NotAvailable as reason:
            print(f"camera test not available: {reason}")
            return 2
        put_tree_into(root)
        environment = [
            "PATH=/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/tmp", f"PYTHONPATH={INSIDE}:/opt/picam", "LIBCAMERA_PIPELINES_MATCH_LIST=virtual",
            "LIBCAMERA_LOG_LEVELS=*:FATAL", "PYTHONDONTWRITEBYTECODE=1", "LC_ALL=C.UTF-8",
        ]  # fmt: skip
        command = [
            "chroot", str(root), "/usr/bin/env", "-i", *environment, "python3", "-m", "pytest", "-q", "-p", "no:cacheprovider",
            "--rootdir", INSIDE, f"{INSIDE}/tests/terminal/reader/virtual_camera/inside.py", *sys.argv[1:],
        ]  # fmt: skip
        try:
            return 1 if subprocess.run(command, timeout=RUN_LIMIT_S, check=False).returncode else 0
        except subprocess.TimeoutExpired:
            print(f"camera test failed: longer than {RUN_LIMIT_S} s")
            return 1


if __name__ == "__main__":
    sys.exit(main())
