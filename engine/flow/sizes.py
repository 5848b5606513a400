"""Carriers that take no mail above a size: whose recipients of a large message are refused at the door (D16).

The limits are shaping's (`max_message_size`; au and SoftBank publish theirs). Asked of the recipients' own domains and,
where DNS has told by now, of their exchangers. A message far below the smallest limit costs one comparison.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from engine.lint.finding import block
from engine.lint.wording import say
from engine.policy.shaping import Shaping
from engine.spool.port import NewRecipient, Spool
from engine.wire import Refused

WIDEST = 3
"""Octets of a letter for one of its content: quoted-printable."""
ADDED = 64 * 1024
"""What the engine may add: header fields, footer, signatures."""


REMEMBERED = 1024


class Sizes:
    """What accept asks."""

    def __init__(self, shaping: Shaping, provider_of: Callable[[str], str]) -> None:
        """`provider_of`: a domain's, as far as DNS has told; empty: not known."""
        self._provider_of = provider_of
        self.use(shaping)

    def use(self, shaping: Shaping) -> None:
        self._shaping = shaping
        self._smallest = min(shaping.message_sizes.values(), default=0)
        self._octets: dict[tuple[bytes, str, str], int] = {}
        """Of letters; 0: small enough for everybody."""

    async def fitting(
        self,
        what: tuple[bytes, str, str],
        spool: Spool,
        octets_of: Callable[[bytes, str, str], int],
        recipients: list[NewRecipient],
    ) -> tuple[list[NewRecipient], list[Refused]]:
        """Those who may get it, and the refusals of the others. `what`: message, sender and category."""
        octets = self._octets.get(what)
        if octets is None:
            number = await spool.message_number(what[0])
            content = b"" if number is None else await spool.content(number)
            octets = await asyncio.to_thread(octets_of, content, *what[1:]) if self.may_exceed(len(content)) else 0
            if len(self._octets) >= REMEMBERED:
                self._octets.clear()
            self._octets[what] = octets
        out = self.too_large(octets, recipients)
        gone = {index for index, _, _ in out}
        return [one for one in recipients if one.index not in gone] if out else recipients, out

    def may_exceed(self, content: int) -> bool:
        """Whether a letter of so many octets of content may be too large for anybody."""
        return 0 < self._smallest < content * WIDEST + ADDED

    def too_large(self, octets: int, recipients: Sequence[NewRecipient]) -> list[Refused]:
        if not 0 < self._smallest < octets:
            return []
        faults = {domain: self._fault(octets, domain) for domain in {one.domain for one in recipients}}
        return [(one.index, "display", fault) for one in recipients if (fault := faults[one.domain])]

    def _fault(self, octets: int, domain: str) -> str:
        """Empty: it fits."""
        # Behind a relay and before DNS has answered, the domain alone says whose it is.
        provider = self._provider_of(domain) or self._shaping.providers.of(domain, ())
        most = self._shaping.limits("", domain, provider).max_message_size
        if not 0 < most < octets:
            return ""
        found = block("D16", "message", 0, say("large_message", octets, f"{provider or domain}: {most}"))
        return f"[{found.one_line()} / {found.ja}]"
