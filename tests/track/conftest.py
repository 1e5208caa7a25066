"""Property tests draw as `tests.examples` says."""

import tests.examples  # noqa: F401 - loads the profile
