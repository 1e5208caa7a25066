"""How many examples hypothesis draws: few enough for a slow core, and in CI always the same."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("quick", max_examples=60, deadline=None)
settings.register_profile("ci", settings.get_profile("quick"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "quick")
