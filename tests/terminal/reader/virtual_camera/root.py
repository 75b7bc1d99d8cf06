"""A Debian trixie root with libcamera's virtual camera and the real picamera2, made once and kept in the user's cache.

Trixie's backports, since picamera2 sets `ExposureTimeMode`, which trixie's own libcamera does not know; bookworm's has no virtual camera.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SUITE = "trixie"
PACKAGES = (
    "python3-libcamera/trixie-backports", "libcamera-ipa/trixie-backports", "python3-numpy", "python3-pil", "python3-prctl",
    "python3-piexif", "python3-tqdm", "python3-jsonschema", "python3-pytest", "python3-libarchive-c",
)  # fmt: skip
PYTHON = "3.13"
PICAMERA2 = "picamera2==0.3.38"
# Without their dependencies: picamera2 names a package of PyPI that is somebody else's (kms).
ALONE = (PICAMERA2, "simplejpeg", "videodev2", "av", "colorzero")
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
BUILD_LIMIT_S = 900
CAMERA = """%YAML 1.1
---
"Virtual0":
  supported_formats:
  - width: 640
    height: 400
    frame_rates:
    - 30
    - 60
  test_pattern: "bars"
  location: "CameraLocationFront"
  model: "palm reader"
"""


class NotAvailable(Exception):
    """This machine can't do it; the sentence says why and what would help."""


def cache_folder() -> Path:
    """Where the root is kept: $PALM_TILL_CACHE, else below the user's cache."""
    if chosen := os.environ.get("PALM_TILL_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "palm-till"


def root_folder() -> Path:
    """The root for this recipe: another recipe makes another one."""
    return cache_folder() / f"virtual-camera-{SUITE}-{PICAMERA2.rpartition('=')[2]}"


def check_machine() -> None:
    """Raises NotAvailable where a root can't be made or entered."""
    if os.geteuid() != 0:
        raise NotAvailable("root is needed to make and enter the root file system. Run it with sudo, or in a container as root.")
    if not root_folder().exists() and shutil.which("mmdebstrap") is None:
        raise NotAvailable("mmdebstrap is missing. Install it: apt install mmdebstrap.")
    if not root_folder().exists() and shutil.which("dpkg") is None:
        raise NotAvailable("this is not a Debian system: dpkg is missing, and no apt source tells where packages come from.")


def mirrors(sources: str, deb822: bool) -> Iterator[str]:
    """Addresses of Debian's main archive in one apt sources file, in order. deb822: the format of *.sources files."""
    if not deb822:
        for line in sources.splitlines():
            words = [word for word in line.split("#")[0].split() if not word.startswith("[") and not word.endswith("]")]
            if len(words) >= 4 and words[0] == "deb" and "main" in words[3:] and words[1].rstrip("/").endswith("/debian"):
                yield words[1]
        return
    for paragraph in sources.split("\n\n"):
        fields = dict(line.split(":", 1) for line in paragraph.splitlines() if ":" in line and not line.startswith(("#", " ")))
        lower = {key.strip().lower(): value.split() for key, value in fields.items()}
        if "deb" in lower.get("types", []) and "main" in lower.get("components", []):
            yield from (uri for uri in lower.get("uris", []) if uri.rstrip("/").endswith("/debian"))


def mirror(etc_apt: Path = Path("/etc/apt")) -> str:
    """The archive that this machine itself uses. Raises NotAvailable."""
    files = [etc_apt / "sources.list", *sorted((etc_apt / "sources.list.d").glob("*"))]
    for file in files:
        if file.is_file() and file.suffix in {".list", ".sources"}:
            found = next(mirrors(file.read_text(encoding="utf-8"), file.suffix == ".sources"), None)
            if found:
                return found
    raise NotAvailable(f"no source of Debian's main archive in {etc_apt}. This needs a Debian system with apt set up.")


def build() -> Path:
    """The root, made if missing: about a minute and 600 MB. Raises NotAvailable."""
    check_machine()
    root = root_folder()
    if root.exists():
        return root
    part = root.with_name(root.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    uri = mirror()
    print(f"making {root} (once, about a minute, 600 MB) ...", flush=True)
    _run(
        "mmdebstrap", "--quiet", "--variant=apt", f"--include={','.join(PACKAGES)}", SUITE, str(part),
        f"deb {uri} {SUITE} main", f"deb {uri} {SUITE}-backports main",
    )  # fmt: skip
    machine = _machine()
    pip = [
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(part / "opt/picam"),
        "--python-version", PYTHON, "--only-binary=:all:", "--platform", f"manylinux_2_28_{machine}",
        "--platform", f"manylinux2014_{machine}", "--platform", "any",
    ]  # fmt: skip
    pinned = [f"{name}=={importlib.metadata.version(name)}" for name in ("pydantic", "gpiozero")]
    _run(*pip, "--no-deps", *ALONE, pinned[1])
    _run(*pip, "--upgrade", pinned[0])
    (part / "usr/share/libcamera/pipeline/virtual/virtual.yaml").write_text(CAMERA)
    part.rename(root)
    return root


def _machine() -> str:
    said = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
    if said not in MACHINES:
        raise NotAvailable(f"no wheels of picamera2's companions for {said}; {', '.join(MACHINES)} have them.")
    return MACHINES[said]


def _run(*command: str) -> None:
    """Raises NotAvailable with the end of what the program said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        raise NotAvailable(f"{command[0]} took longer than {BUILD_LIMIT_S} s. Is the network slow?") from None
    if done.returncode:
        said = " | ".join((done.stderr or done.stdout).strip().splitlines()[-4:])
        raise NotAvailable(f"{Path(command[0]).name} failed ({said}). The root needs Debian's archive and PyPI once.")
