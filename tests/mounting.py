"""What tests with a file system of their own need."""

import pytest

from lab.small_disk import is_possible

needs_mount = pytest.mark.skipif(not is_possible(), reason="this process may not mount a file system: only root may, and not in every container")
