"""What the service's calls share: books, people, gallery, rules; and the threads in which they may be used.

The books (SQLite) have one thread, so what happens in one call there is seen by nobody half done. Searches have as many threads as
cores; each is bound to one BLAS thread (`OPENBLAS_NUM_THREADS=1`, set by the command line before numpy is loaded), since BLAS threads
and request threads fight each other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy.engine import Engine
from sqlalchemy.exc import DatabaseError

from identity import calibration as calibrations
from identity.calibration import Calibration
from identity.config import SHIPPED_CALIBRATION, Config
from identity.evidence import Rules
from identity.gallery import Gallery
from identity.metrics import Metrics
from identity.payments import Payments
from identity.people import People
from identity.storage import open_storage
from identity.vault import open_vault

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

MS_PER_HOUR = 3_600_000


class BooksError(Exception):
    """The books can't be read or written; the sentence says why, and nothing of what is in them."""


async def whole(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Do all of `work` although the caller may hang up: what the books have and what the gallery has must not part."""
    task, hung_up = asyncio.ensure_future(work), False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            hung_up = True
    result = task.result()
    if hung_up:
        raise asyncio.CancelledError
    return result


class State:
    """Made by `open_state`; closed by `close`."""

    def __init__(self, config: Config, engine: Engine, people: People, gallery: Gallery, calibration: Calibration) -> None:
        self.config, self.calibration = config, calibration
        self.people, self.gallery, self.payments = people, gallery, Payments(engine)
        self.metrics = Metrics()
        self.enrolling = asyncio.Lock()  # two people enrolling at once must not both be told "not here yet"
        self.streams_of: Counter[str] = Counter()  # purchases in progress by till
        evidence = config.evidence
        self.rules = Rules(**{name: getattr(evidence, name) for name in Rules.__dataclass_fields__})
        self._engine = engine
        self._books = ThreadPoolExecutor(1, thread_name_prefix="books")
        self._searches = ThreadPoolExecutor(config.service.searches_at_once, thread_name_prefix="search")

    async def books(self, work: Callable[..., Answer], *arguments: Any) -> Answer:
        """Run something that reads or writes the books. A caller who goes away does not stop it half done. Raises BooksError."""
        began = time.monotonic()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._books, lambda: work(*arguments))
        except DatabaseError as error:
            raise BooksError(f"the books can't be used ({error.orig}); look at the disk of [storage] database") from None
        finally:
            self.metrics.books_s.observe(time.monotonic() - began)

    async def searching(self, work: Callable[..., Answer], *arguments: Any) -> Answer:
        """Run something that searches the gallery."""
        began = time.monotonic()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._searches, lambda: work(*arguments))
        finally:
            self.metrics.search_s.observe(time.monotonic() - began)

    async def tidy_for_ever(self) -> None:
        """Every `expiry_interval_s`: report payments that nobody settled, and empty the log where a forgetting could not."""
        options = self.config.payments
        while True:
            try:
                marked = await self.books(self.payments.expire, int(options.open_hours_max * MS_PER_HOUR))
                if not self.people.scrubbed and await self.books(self.people.scrub):
                    log.info("scrubbed: no byte of anybody forgotten is left")
            except Exception:
                log.exception("tidying failed; tried again in %g s", options.expiry_interval_s)
            else:
                if marked:
                    self.metrics.expired.inc(marked)
                    log.warning("expired purchases=%d; see `palm-identity ledger`: no till settled them", marked)
            await asyncio.sleep(options.expiry_interval_s)

    def count_gallery(self) -> None:
        """Tell the metrics how many people there are."""
        self.metrics.people.set(self.gallery.owners)
        self.metrics.templates.set(self.gallery.templates)

    def close(self) -> None:
        """Finish what the threads are at, and close the files."""
        self._searches.shutdown(cancel_futures=True)
        self._books.shutdown()
        self._engine.dispose()


def open_state(config: Config) -> State:
    """Open key, calibration and database, and fill the gallery. Raises VaultError, CalibrationError, StorageError."""
    vault = open_vault(config.storage.key_file)
    calibration = calibrations.load(config.evidence.calibration or SHIPPED_CALIBRATION)
    engine = open_storage(config.storage.database)
    try:
        people = People(engine, vault)
        gallery = Gallery(calibration.dimension, vault.gallery_secret, calibration.surface_weight)
        for person, side, templates in people.palms(calibration.model_version):
            gallery.add(person, side, templates)
    except BaseException:
        engine.dispose()
        raise
    state = State(config, engine, people, gallery, calibration)
    state.count_gallery()
    log.info("open model=%s people=%d templates=%d", calibration.model_version, gallery.owners, gallery.templates)
    return state
