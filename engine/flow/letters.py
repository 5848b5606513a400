"""From a recipient to a letter: compose, record the intent, note the day, sign.

A sheet is a small batch of letters on their way through the signer. While the signatures are made, the spool
records the intent to send (a crash then knows exactly who is in doubt), and the last-sent store the day of an
advertisement; a letter may leave when all is done. The
number of signatures under way is bounded, and a path that found no room is called again in turn.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakValueDictionary

from engine.flow.lastsent import LastSent
from engine.mail.compose import Compiled, Draft, Facts, date_text, make_message_id
from engine.mail.envelope import Batch, Priority, Recipient, recipient_text
from engine.mail.identity import SenderIdentity
from engine.mail.message import decode
from engine.mail.template import compile_message
from engine.mail.verp import make_verp
from engine.signer.client import SignerClient
from engine.signer.settings import KeyInfo
from engine.spool.port import Spool, SpoolFailed
from suppression import LedgerFailed
from suppression.decision import Category

log = logging.getLogger(__name__)

SHEET = 64
"""Letters signed together: enough to make the hop to the signer cheap, few enough to keep latency low."""
MOST_UNDER_WAY = 256
"""Signatures asked for and not yet had, over all paths; transactional mail is not held by it."""
INTENT_PATIENCE = 0.02
"""Seconds that a bulk sheet's intent may wait for a commit to share: it is being signed meanwhile."""


@dataclass(slots=True, eq=False)
class Letter:
    """One recipient's message as it goes to the wire."""

    recipient: Recipient
    envelope_from: str
    payload: bytes
    eightbit: bool
    utf8: bool
    good_until: float
    """Unix time: the day that was noted for it covers no later one."""
    strip: bool = False
    """It is the variant without the advertisement."""
    begun: float = 0.0
    """When its MAIL FROM was written."""


class UnknownSender(Exception):  # noqa: N818 - the batch's state, not one call's error
    """The batch's sender is not in the configuration any more."""


Name = tuple[int, str, bool]
"""What a compiled message is made of: content's number, sender, whether it advertises for mail order."""


def name_of(batch: Batch) -> Name:
    return batch.message, batch.sender, batch.category == Category.AD_MO


def compile_for(name: Name, content: bytes, identity: SenderIdentity) -> Compiled:
    """Raises MessageError."""
    return compile_message(decode(content), identity, mail_order=name[2])


class Sender(Protocol):
    """What the configuration knows of a sender, as far as letters need it."""

    @property
    def identity(self) -> SenderIdentity: ...

    def cancel_url(self, recipient_id: int, address: str, topic: str) -> str: ...


class Letters:
    def __init__(
        self,
        *,
        spool: Spool,
        signer: SignerClient,
        senders: Mapping[str, Sender],
        sent: LastSent,
        verp_secret: bytes,
        clock: Callable[[], float],
    ) -> None:
        self._spool = spool
        self._sent = sent
        self._signer = signer
        self._senders = senders
        self._verp_secret = verp_secret
        self._clock = clock
        self._compiled: WeakValueDictionary[Name, Compiled] = WeakValueDictionary()
        self._under_way = 0
        self._starved: deque[Callable[[], None]] = deque()
        self._second = -1
        self._date = ""

    async def load(self, batch: Batch) -> None:
        """Makes the batch's content ready; reads the spool once per message, however many batches name it. Raises
        UnknownSender, and MessageError when the message does not suit its sender any more.
        """
        name = name_of(batch)
        compiled = self._compiled.get(name)
        if compiled is None:
            self._known(batch.sender)
            content = await self._spool.content(batch.message)
            # Asked behind the wait: a reload may have come meanwhile.
            compiled = compile_for(name, content, self._known(batch.sender).identity)
            self._compiled[name] = compiled
        batch.compiled = compiled

    def _known(self, sender: str) -> Sender:
        if sender not in self._senders:
            raise UnknownSender(f"sender {sender!a} is not configured; put [senders.{sender}] back")
        return self._senders[sender]

    def adopt(
        self, signer: SignerClient, changed: Container[str], made: Mapping[Name, Compiled], batches: Iterable[Batch]
    ) -> None:
        """A reload: another signer, other senders. `made`: what the batches in memory of the changed senders become;
        what is missing there does not suit its sender any more, and its recipients are deferred.
        """
        self._signer = signer
        for name in [name for name in list(self._compiled) if name[1] in changed]:
            del self._compiled[name]
        self._compiled.update(made)
        for batch in batches:
            if batch.sender in changed:
                batch.compiled = made.get(name_of(batch))

    def room(self, call_again: Callable[[], None]) -> bool:
        """False when enough is being signed; then `call_again` is called, once, when there is room."""
        if self._under_way < MOST_UNDER_WAY:
            return True
        self._starved.append(call_again)
        return False

    def write(
        self,
        recipients: Sequence[Recipient],
        done: Callable[[list[Letter]], None],
        failed: Callable[[Sequence[Recipient], BaseException], None],
    ) -> None:
        """Composes now; calls `done` with the signed letters, in order, when they may leave, or `failed`."""
        now = self._clock()
        if int(now) != self._second:
            self._second = int(now)
            self._date = date_text(now)
        sheet = _Sheet(recipients, done, failed, self._finished)
        self._under_way += len(recipients)
        requests: list[tuple[int, bytes]] = []
        try:
            for recipient in recipients:
                draft, envelope_from, keys = self._compose(recipient)
                sheet.drafts.append((draft, envelope_from, keys, bool(recipient.strip)))
                requests += [(key.index, draft.digest(key, self._second)) for key in keys]
        except (KeyError, ValueError) as error:
            # Accept has validated all this, so it is our bug; one recipient's must not stop everybody's mail.
            self._alone(recipients, error, done, failed)
            return
        urgent = recipients[0].batch.priority is Priority.TRANSACTIONAL
        signatures = self._signer.sign(requests, urgent=urgent)
        signatures.add_done_callback(sheet.signed)
        ids = [recipient.id for recipient in recipients]
        intent = asyncio.ensure_future(self._spool.intend(ids, 0.0 if urgent else INTENT_PATIENCE))
        noted, sheet.good_until = self._sent.note(recipients, now, urgent=urgent)
        sheet.wait_for(intent)
        if noted is not None:
            sheet.wait_for(noted)

    def _alone(
        self,
        recipients: Sequence[Recipient],
        error: Exception,
        done: Callable[[list[Letter]], None],
        failed: Callable[[Sequence[Recipient], BaseException], None],
    ) -> None:
        """Each on a sheet of its own, so that only the one that cannot be composed fails."""
        self._under_way -= len(recipients)
        if len(recipients) == 1:
            log.error("recipient %s cannot be composed", recipient_text(recipients[0].id), exc_info=error)
            failed(recipients, error)
            return
        for recipient in recipients:
            self.write([recipient], done, failed)

    def _compose(self, recipient: Recipient) -> tuple[Draft, str, tuple[KeyInfo, ...]]:
        batch = recipient.batch
        sender = self._senders[batch.sender]
        identity = sender.identity
        envelope_from = make_verp(recipient.id, self._verp_secret, identity.return_path_domain, recipient.who)
        compiled = batch.compiled
        if not isinstance(compiled, Compiled):
            raise ValueError("the message does not suit its sender since the configuration was reloaded")
        facts = Facts(
            recipient_id=recipient.id,
            address=recipient.address,
            fields=recipient.fields,
            date_text=self._date,
            cancel_url=sender.cancel_url(recipient.id, recipient.address, batch.topic),
            message_id=make_message_id(recipient.id, identity.message_id_domain),
        )
        if recipient.strip:
            assert compiled.without_ad, "who may get nothing else is suppressed where there is none"
            compiled = compiled.without_ad
        return compiled.compose(facts), envelope_from, self._signer.keys[identity.domain]

    def _finished(self, count: int) -> None:
        self._under_way -= count
        while self._starved and self._under_way < MOST_UNDER_WAY:
            self._starved.popleft()()


class _Sheet:
    __slots__ = (
        "_done", "_error", "_failed", "_is_stopping", "_released", "_signatures", "_waiting", "drafts", "good_until",
        "recipients",
    )  # fmt: skip

    def __init__(
        self,
        recipients: Sequence[Recipient],
        done: Callable[[list[Letter]], None],
        failed: Callable[[Sequence[Recipient], BaseException], None],
        released: Callable[[int], None],
    ) -> None:
        self.recipients = recipients
        self._failed = failed
        self.drafts: list[tuple[Draft, str, tuple[KeyInfo, ...], bool]] = []
        self._done = done
        self._released = released
        self._signatures: list[bytes] = []
        self._error: BaseException | None = None
        self._is_stopping = False
        self._waiting = 1
        self.good_until = 0.0

    def wait_for(self, written: asyncio.Future[None]) -> None:
        """Beside the signatures."""
        self._waiting += 1
        written.add_done_callback(self._synced)

    def signed(self, signatures: asyncio.Future[list[bytes]]) -> None:
        if self._is_good(signatures):
            self._signatures = signatures.result()
        self._step()

    def _synced(self, written: asyncio.Future[None]) -> None:
        self._is_good(written)
        self._step()

    def _is_good(self, half: asyncio.Future[Any]) -> bool:
        if half.cancelled():
            self._is_stopping = True
            return False
        error = half.exception()
        self._is_stopping |= isinstance(error, SpoolFailed | LedgerFailed)
        self._error = self._error or error
        return error is None

    def _step(self) -> None:
        """All parts are waited for, also by a sheet that fails: an intent synced after its recipients were deferred
        would never end, and the next start would be in doubt about them. When the engine is going down (cancelled, or
        a store lost) nobody is told: there is nobody to defer to, and the spool has the recipients.
        """
        self._waiting -= 1
        if self._waiting:
            return
        self._released(len(self.recipients))
        if self._is_stopping:
            return
        if self._error is not None:
            self._failed(self.recipients, self._error)
            return
        self._done(self._letters())

    def _letters(self) -> list[Letter]:
        letters: list[Letter] = []
        at = 0
        for recipient, (draft, envelope_from, keys, strip) in zip(self.recipients, self.drafts, strict=True):
            signatures = list(zip(keys, self._signatures[at : at + len(keys)], strict=True))
            at += len(keys)
            payload = draft.finish(signatures)
            letters.append(
                Letter(recipient, envelope_from, payload, draft.eightbit, draft.utf8, self.good_until, strip=strip)
            )
        return letters
