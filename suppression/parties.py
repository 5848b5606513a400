"""Who speaks for whom: one client (委託者) mailed for by several senders, one agency (送信者) mailing for many clients.

特定電子メール法 3条3項: a refusal told to whoever sends binds whoever it is sent for, and the other way round. So what
is refused of a sender is refused of every sender of the same client; and what is refused of an agency, without saying
whose mail, is refused of all its clients, wherever they are mailed for. It is recorded once for each of them, so that
a later consent to one of them revives that one alone, and once more under the name of client or agency, from which
senders that are configured later take it over (spreading.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from suppression.events import Complaint, Event, EventError, OptOut

AGENCY: Final = "agency/"
CLIENT: Final = "client/"
"""Before the name, in place of a sender; no sender's name has a slash."""


@dataclass(frozen=True, slots=True)
class Party:
    """Of one configured sender."""

    client: str = ""
    """Whose business is advertised; empty: the sender's own and nobody else's."""
    agency: str = ""
    """Who mails for it; empty: itself."""


class Parties:
    def __init__(self, senders: Mapping[str, Party]) -> None:
        self._senders = dict(senders)
        self._of_client: defaultdict[str, list[str]] = defaultdict(list)
        self._clients: defaultdict[str, set[str]] = defaultdict(set)
        for name, party in self._senders.items():
            self._of_client[_client(name, party)].append(name)
            if party.agency:
                self._clients[party.agency].add(_client(name, party))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parties) and other._senders == self._senders

    def __hash__(self) -> int:
        return hash(frozenset(self._senders))

    @property
    def agencies(self) -> frozenset[str]:
        return frozenset(self._clients)

    def reached(self, sender: str) -> tuple[str, ...]:
        """Under which names a refusal is recorded that was told about this sender, or about an agency (`agency/A`)."""
        if sender.startswith(AGENCY):
            clients = sorted(self._clients.get(sender.removeprefix(AGENCY), ()))
            return (sender, *(name for client in clients for name in self._of_client[client]))
        party = self._senders.get(sender, Party())
        others = [name for name in self._of_client.get(_client(sender, party), ()) if name != sender]
        return (sender, *others, *((CLIENT + party.client,) if party.client else ()))

    def origins(self) -> dict[str, tuple[str, ...]]:
        """For each sender under whose names refusals may be recorded that hold for it too; without those that stand
        alone.
        """
        found: dict[str, tuple[str, ...]] = {}
        for name, party in self._senders.items():
            client = _client(name, party)
            names = [other for other in self._of_client[client] if other != name]
            names += [CLIENT + party.client] if party.client else []
            names += [AGENCY + agency for agency, clients in self._clients.items() if client in clients]
            if names:
                found[name] = tuple(sorted(names))
        return found

    def spread(self, event: Event) -> Iterator[Event]:
        """The event, and the same for everybody else whom it reaches. Raises EventError for an agency that none has."""
        if not isinstance(event, OptOut | Complaint) or not event.sender:
            yield event
            return
        if event.sender.startswith(AGENCY) and event.sender.removeprefix(AGENCY) not in self._clients:
            known = ", ".join(sorted(self._clients)) or "none"
            raise EventError(f"agency: {event.sender[7:80]!a} mails for nobody here; configured are {known}")
        for name in self.reached(event.sender):
            yield event if name == event.sender else replace(event, sender=name)


def _client(name: str, party: Party) -> str:
    """A client's name may be a sender's too: then it is that sender's own party."""
    return party.client or name


ALONE: Final = Parties({})
