"""Puts the parts of the way back together: rules, proof, journal and ledger, and the listener in front of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files

from engine.flow.feedback import Returns
from engine.flow.proof import ReadToken, Witness
from engine.flow.returnpath import Directory, ReturnPath
from engine.flow.settle import Settle
from engine.policy.classify import Rules
from engine.policy.rules import compile_rules
from engine.returns import Reader
from suppression import Complaint, Event, OptOut, Suppression


def load_reader() -> Reader:
    """The three tables of rules that reports are read by."""
    return Reader(
        _rules("engine.returns", "documented.toml", "rules.toml"),
        _rules("engine.policy", "rules.toml"),
        _rules("engine.returns", "fallback.toml"),
    )


def _rules(package: str, *names: str) -> Rules:
    return compile_rules("\n".join(files(package).joinpath(name).read_text(encoding="utf-8") for name in names))


@dataclass(frozen=True, slots=True)
class WayBack:
    returns: Returns
    listener: ReturnPath

    @classmethod
    def open(
        cls,
        directory: Directory,
        suppression: Suppression,
        settle: Settle,
        read_token: ReadToken,
        *,
        clock: Callable[[], float],
        node: str,
        refused: Callable[[str, float], None] = lambda _address, _now: None,
    ) -> WayBack:
        """The listener is not started. `refused`: told address and time when a refusal that came back is in force."""

        async def apply(events: Sequence[Event]) -> int:
            epoch = await suppression.apply(events)
            for event in events:
                if isinstance(event, OptOut | Complaint):
                    refused(event.address, clock())
            return epoch

        returns = Returns(
            load_reader(),
            # By the listener: a reload gives it another directory.
            Witness(read_token, lambda address: listener.directory.verp(address), suppression.identify),  # noqa: PLW0108 - asked late
            note=settle.note,
            drain=settle.drain,
            apply=apply,
            clock=clock,
            node=node,
        )
        listener = ReturnPath(directory, returns.take, clock)
        return cls(returns, listener)

    async def start(self) -> None:
        """Raises OSError that names the key."""
        try:
            await self.listener.start()
        except OSError as error:
            where = f"{self.listener.settings.host}:{self.listener.settings.port}"
            text = f"cannot listen on return_path.listen {where!a}: {error.strerror}; choose another port"
            raise OSError(error.errno, text) from None

    async def close_at_once(self) -> None:
        """After a fault nobody waits for what cannot come; after a stop it has closed before."""
        await self.listener.close(patience=0.0)
