"""Make the code under proto/palmpay from its .proto files: `python -m proto.generate [FOLDER]`.

Without a folder the checkout itself is written, which is what `make proto` does; a test makes it elsewhere and compares.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GENERATE_TIMEOUT_S = 120.0
"""protoc takes a second; this is a stuck one."""


def generate(into: Path) -> list[Path]:
    """Write the generated files below `into` and return them. Raises RuntimeError with what protoc said."""
    sources = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "proto" / "palmpay").rglob("*.proto"))
    tools = Path(sys.executable).parent  # the plugins were installed beside this Python, whatever PATH says
    plugins = [f"--plugin={name}={tools / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    outputs = [f"--{kind}={into}" for kind in ("python_out", "grpc_python_out", "mypy_out", "mypy_grpc_out")]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT}", *plugins, *outputs, *sources]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=GENERATE_TIMEOUT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"protoc failed:\n{done.stderr}\nInstall the extra `dev`: pip install -e '.[identity,dev]'")
    return sorted(path for path in (into / "proto" / "palmpay").rglob("*_pb2*") if path.suffix in {".py", ".pyi"})


if __name__ == "__main__":
    try:
        made = generate(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
    except RuntimeError as error:
        sys.exit(str(error))
    print(f"{len(made)} files")
