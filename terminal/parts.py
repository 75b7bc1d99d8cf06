"""Opens what the configuration names. The only place, with the app, that knows which kind of reader there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from terminal.config import Config, PalmOptions, ReaderOptions
from terminal.reader.frame import Reader

if TYPE_CHECKING:
    from terminal.vision import Pipeline


def open_reader(options: ReaderOptions) -> Reader:
    """The configured reader, opened. Raises ReaderError with a sentence for a technician."""
    if options.kind == "simulated":
        # Only when the configuration names it: nothing of the simulation is loaded on a real terminal.
        from terminal.simulation.reader import SimulatedReader

        simulated = SimulatedReader(options)
        simulated.open()
        return simulated
    from terminal.reader import open_reader as open_real

    return open_real(options)


def make_pipeline(options: PalmOptions) -> Pipeline:
    """Both models, loaded and warm. Raises ModelError."""
    # Here, not above: ONNX Runtime takes a second to load, and `palm-terminal --help` should not.
    from terminal.palm.pipeline import PalmPipeline

    return PalmPipeline(options)


def unkept_stands(config: Config) -> bool:
    """Whether the register takes an approval for granted though we could not write its acknowledgement down.

    ZVT's completion and ECR17's result follow our fsync, so there the register is told in time; in the other protocols its
    acknowledgement is the last word.
    """
    return config.cash_register.protocol not in ("zvt", "ecr17")
