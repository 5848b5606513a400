"""Draining: no new submits, while everything that is there is delivered and refusals are taken as always.

An order to the running process and no more: a start takes mail again. Whoever submits meanwhile is told so and repeats
the same key later. A stop drains by itself and cannot be taken back.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

from engine import wire
from engine.flow.dispatch import Dispatch
from engine.wire import Refusal

log = logging.getLogger(__name__)

PLACES = ("waiting", "ready", "in_flight", "held")


class Draining(Protocol):
    """The engine, as far as it is ordered and asked here."""

    draining: bool

    @property
    def dispatch(self) -> Dispatch: ...

    def status(self) -> Mapping[str, object]: ...


class Drain:
    def __init__(self, engine: Draining) -> None:
        self._engine = engine

    async def answer(self, request: wire.Drain) -> Mapping[str, object]:
        engine = self._engine
        if request.on is False and engine.dispatch.closing:
            text = "the engine is stopping, and that cannot be taken back: start it again"
            raise Refusal("draining", "on", "False", text)
        if request.on is not None and request.on is not engine.draining:
            engine.draining = request.on
            log.warning("draining: no new submits" if request.on else "no longer draining: submits are taken")
        status = engine.status()
        return {"draining": engine.draining, **{place: status[place] for place in PLACES}}
