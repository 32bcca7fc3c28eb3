"""One report of two judged tasks for all tests in a browser."""

from __future__ import annotations

import pytest
from report_site import judged_site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the report of two judged tasks."""
    return judged_site(tmp_path_factory.mktemp("site") / "project")
