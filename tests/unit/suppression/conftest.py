from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from suppression import Suppression, SuppressionSettings

NOW = 1_800_000_000.0


@pytest.fixture
def settings(tmp_path: Path) -> SuppressionSettings:
    return SuppressionSettings(tmp_path / "ledger", tmp_path / "secret")


@pytest.fixture
def opened(settings: SuppressionSettings) -> Iterator[Callable[[], Suppression]]:
    """Opens, as often as asked; closes what the test left open."""
    known: list[Suppression] = []

    def open_one() -> Suppression:
        known.append(Suppression.open(settings, clock=lambda: NOW))
        return known[-1]

    yield open_one
    for suppression in known:
        suppression.close()
