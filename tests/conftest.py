"""What holds for all tests: the gate draws the same examples every time; looking for new ones is asked for.

HYPOTHESIS_PROFILE=explore make check      other examples each time; what fails is kept in .hypothesis and tried again first
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("gate", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))
