"""What the virtual camera lacks and picamera2 asks for: two modules, raw modes, and memory that is not a dma-heap."""

from __future__ import annotations

import mmap
import os
import sys
from types import ModuleType, SimpleNamespace
from typing import Any


def install() -> None:
    """Before picamera2 is imported: stand-ins for its display and DNG modules, which no test uses."""
    for name, members in (("pykms", ()), ("pidng", ()), ("pidng.core", ("PICAM2DNG",)), ("pidng.camdefs", ("Picamera2Camera",))):
        module = ModuleType(name)
        for member in members:
            setattr(module, member, type(member, (), {}))
        sys.modules.setdefault(name, module)
    formats = ("RGB888", "BGR888", "XRGB8888", "XBGR8888", "YUV420", "YVU420", "NV12", "ABGR8888")
    sys.modules["pykms"].PixelFormat = SimpleNamespace(**dict.fromkeys(formats))  # type: ignore[attr-defined]
    import picamera2

    # The virtual camera has no raw stream, and picamera2 asks every camera for one when it opens it.
    picamera2.Picamera2._get_raw_modes = lambda camera: [{"format": "SRGGB8", "size": (640, 400)}]
    # close() ends by making the default allocator again, which needs a dma-heap.
    sys.modules["picamera2.picamera2"].DmaAllocator = allocator  # type: ignore[attr-defined]


def allocator() -> Any:
    """picamera2's own Allocator over memfd buffers: NV12 as two planes of one file, since one plane aborts libcamera."""
    import libcamera
    from picamera2.allocators.allocator import Allocator, Sync

    class _NoSync(Sync):  # type: ignore[misc]
        def __init__(self, owner: Any, buffer: Any, write: bool) -> None:
            del write
            self.owner, self.buffer = owner, buffer

        def __enter__(self) -> Any:
            return self.owner.mapped_buffers[self.buffer]

        def __exit__(self, *error: object) -> None:
            return None

    class MemfdAllocator(Allocator):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.sync = _NoSync
            self.mapped_buffers: dict[Any, mmap.mmap] = {}
            self.frame_buffers: dict[Any, list[Any]] = {}
            self.files: list[int] = []
            self.allocations = 0

        def allocate(self, configuration: Any, use_case: object) -> None:
            del use_case
            self.close()
            self.allocations += 1
            for stream in configuration:
                made = []
                for index in range(stream.buffer_count):
                    file = os.memfd_create(f"virtual-{index}")
                    os.ftruncate(file, stream.frame_size)
                    self.files.append(file)
                    grey = stream.stride * stream.size.height
                    planes = [libcamera.FrameBuffer.Plane(), libcamera.FrameBuffer.Plane()]
                    for plane, offset, length in zip(planes, (0, grey), (grey, stream.frame_size - grey), strict=True):
                        plane.fd, plane.offset, plane.length = file, offset, length
                    buffer = libcamera.FrameBuffer(planes)
                    self.mapped_buffers[buffer] = mmap.mmap(file, stream.frame_size)
                    made.append(buffer)
                self.frame_buffers[stream.stream] = made

        def buffers(self, stream: Any) -> list[Any]:
            return self.frame_buffers[stream]

        def close(self) -> None:
            for file in self.files:
                os.close(file)
            self.files, self.frame_buffers, self.mapped_buffers = [], {}, {}

        def __del__(self) -> None:
            self.close()

    return MemfdAllocator()
