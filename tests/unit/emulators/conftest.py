from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.emulators.okx import Okx
from tests.emulators.server import serve
from tests.unit.emulators.talking_okx import KEYS


@pytest.fixture
async def okx(tmp_path: Path) -> AsyncIterator[Okx]:
    async with serve(Okx(tmp_path, market="none", keys=KEYS)) as emulator:
        assert isinstance(emulator, Okx)
        yield emulator
