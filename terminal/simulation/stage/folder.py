"""The stage's working folder: where everything lies, and what the programs are told."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

SOCKET_PATH_MAX = 100
"""Linux allows 107 bytes for the path of a Unix socket."""
MARK = ".palm-stage"
"""A folder with this file in it was made by the stage, and may be emptied by it."""


class FolderError(Exception):
    """The working folder can't be used; the sentence says what to do."""


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str) -> str:
    """Path of an installed command: beside the running Python, as `make install` puts it, or on the PATH."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise FolderError(f"{name} is not installed. Run `make install`, then `make run`.")
    return found


@dataclass
class Folder:
    """Paths below `root`. `claim` empties it and keeps others out until `release`."""

    root: Path
    _lock: int = -1

    @property
    def identity(self) -> Path:
        """The identity service's own folder."""
        return self.root / "identity"

    @property
    def logs(self) -> Path:
        """One file for each program."""
        return self.root / "logs"

    @property
    def terminal_toml(self) -> Path:
        """The terminal's configuration."""
        return self.root / "terminal.toml"

    @property
    def register_journal(self) -> Path:
        """The cash register's own book."""
        return self.root / "register.jsonl"

    @property
    def control(self) -> Path:
        """The simulated reader's socket; elsewhere where this folder's path is too long for one."""
        here = self.root / "hand.sock"
        if len(os.fsencode(here)) <= SOCKET_PATH_MAX:
            return here
        return Path(tempfile.gettempdir()) / f"palm-stage-{os.getuid()}-{abs(hash(str(self.root))) % 10**8}.sock"

    def claim(self) -> None:
        """Make it, alone and empty. Raises FolderError."""
        self.root = self.root.resolve()
        if self.root.exists() and not (self.root / MARK).exists() and any(self.root.iterdir()):
            raise FolderError(f"{self.root} has things in it that the stage did not make. Give another with --folder.")
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.root / MARK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderError(f"Another stage runs in {self.root}. Stop it with Ctrl-C, or give another with --folder.") from None
        except OSError as error:
            raise FolderError(f"{self.root} can't be made ({error.strerror}). Give another with --folder.") from None
        for entry in self.root.iterdir():
            if entry.name == MARK:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        self.logs.mkdir()

    def release(self) -> None:
        """Let others in; harmless when not claimed."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def terminal_toml(
    folder: Folder, *, till: str, service: str, register_port: str, display_port: int, patience_s: float, certificates: Path
) -> str:
    """The demo terminal's configuration: nothing in it but what differs from the defaults."""
    return f"""# The demo's terminal; made anew by every `make run`.
[shop]
till = "{till}"
palm_patience_s = {patience_s}

[reader]
kind = "simulated"
control_socket = "{folder.control}"

[service]
address = "{service}"
ca = "{certificates / "ca.pem"}"
certificate = "{certificates / f"{till}.pem"}"
key = "{certificates / f"{till}.key"}"

[register]
protocol = "zvt"
port = "{register_port}"

[display]
port = {display_port}

[journal]
folder = "{folder.root / "journal"}"
"""
