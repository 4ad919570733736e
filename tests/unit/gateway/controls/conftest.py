from __future__ import annotations

import pytest

from tests.unit.gateway.bench import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench().ready()
