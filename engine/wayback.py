"""The way back from the configuration: the listener for what returns, or none. Beside engine.py, which starts it."""

from __future__ import annotations

from collections.abc import Callable

from engine.config import Settings, open_return_path
from engine.flow.returning import WayBack
from engine.flow.settle import Settle
from engine.flow.tokens import open_ring
from engine.secret import secret_at
from suppression import Suppression


def way_back(
    settings: Settings,
    suppression: Suppression,
    settle: Settle,
    clock: Callable[[], float],
    node: str,
    refused: Callable[[str, float], None],
) -> WayBack | None:
    """Raises SecretError, SubmissionUnusable. `refused`: told of each refusal when it is in force."""
    if settings.return_path is None:
        return None
    state = settings.engine.state
    verp_secret = secret_at(state / "verp.secret")
    directory = open_return_path(settings.return_path, settings.senders, settings.engine.ehlo_name, verp_secret)
    return WayBack.open(directory, suppression, settle, open_ring(state).read, clock=clock, node=node, refused=refused)
