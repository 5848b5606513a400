"""What of a returned mail is proved. A stranger may write any report; two things in it he cannot have made up.

The envelope recipient with its MAC (engine/mail/verp.py): there was such a mail, and its tag tells whether an address
is the one that it went to. And the unsubscribe token in what is left of the mail, which carries sender, topic, address
and recipient. Whoever holds either got that mail, and could refuse for that address anyway; for nobody else's. Without
one of them a report is written down and suppresses nobody.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from engine.mail.verp import Verp
from engine.returns import Bounce, Feedback, OptOutMail, Returned
from suppression.unsubscribe import Unsubscribe

ReadToken = Callable[[str], Unsubscribe | None]
Identify = Callable[[Iterable[str]], Sequence[bytes]]
ReadVerp = Callable[[str], tuple[Verp, tuple[str, ...]] | None]
"""Envelope recipient of ours -> what it names, and the senders that use its domain."""


@dataclass(frozen=True, slots=True)
class Proven:
    address: str
    senders: tuple[str, ...]
    """One by a token; by the return path's domain as many as share it."""
    topic: str
    recipient_id: int


@dataclass(frozen=True, slots=True)
class Witness:
    """What can check a claim."""

    read_token: ReadToken
    read_verp: ReadVerp
    identify: Identify

    def prove(self, returned: Returned, envelope: Verp | None, senders: tuple[str, ...]) -> Proven | None:
        """`senders`: of the domain that it came back to. The token is asked first, it knows its one sender."""
        given = [token for told in returned.says if isinstance(told, OptOutMail) for token in told.tokens]
        for token in (*given, *returned.original.tokens):
            read = self.read_token(token)
            if read is not None and (envelope is None or read.recipient in {0, envelope.recipient_id}):
                return Proven(read.address, (read.sender,), read.topic, read.recipient)
        return self._by_key(returned, envelope, senders)

    def _by_key(self, returned: Returned, envelope: Verp | None, senders: tuple[str, ...]) -> Proven | None:
        known = (
            [(envelope, senders)]
            if envelope
            else [found for path in _paths(returned) if (found := self.read_verp(path))]
        )
        claimed = list(dict.fromkeys(_claimed(returned)))
        identities = self.identify(claimed) if known else ()
        for verp, own in known:
            for address, identity in zip(claimed, identities, strict=False):
                if verp.key and identity and hmac.compare_digest(identity[: len(verp.key)], verp.key):
                    return Proven(address, own, "", verp.recipient_id)
        return None


def _paths(returned: Returned) -> Iterable[str]:
    yield from returned.original.return_paths
    yield from (told.original_mail_from for told in returned.says if isinstance(told, Feedback))


def _claimed(returned: Returned) -> Iterable[str]:
    for told in returned.says:
        if isinstance(told, Bounce):
            yield from (told.recipient, *told.also)
        elif isinstance(told, Feedback):
            yield told.recipient
        elif isinstance(told, OptOutMail):
            yield told.address
    yield from returned.original.recipients


def is_about(bounce: Bounce, address: str) -> bool:
    """A report about another domain than the one that was written to tells of somebody to whom the mail was
    forwarded: the first address may still be read.
    """
    named = [name for name in (bounce.recipient, *bounce.also) if name]
    domain = address.rpartition("@")[2].lower()
    return not named or any(name.rpartition("@")[2].lower() == domain for name in named)
