"""Reload: the configuration read again while mail goes on; all of it is in force in one moment, or none of it.

First everything that can fail is done beside the running engine: the file is read as `check` reads it, decision tables,
logins and return path are opened, a second set of signing processes reads the keys and makes a signature with each, and
the messages in memory are compiled for their new senders. Then one synchronous function puts all of it in place. What
was being signed then is signed by the old processes, which end when they owe nothing. What cannot change while the
engine runs (state, listeners, sizes of stores) is refused by name, together with every other error.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from engine import wire
from engine.config import Settings, SubmissionUnusable, open_return_path, open_submission, read_configuration
from engine.config.changing import fixed_changes, live_changes, restart_only
from engine.flow.accept import Accept
from engine.flow.dispatch import Dispatch
from engine.flow.drain import Drain
from engine.flow.letters import Letters, Name, compile_for, name_of
from engine.flow.orders import Orders
from engine.flow.promote import Promote
from engine.flow.records import Records
from engine.flow.requests import Answer
from engine.flow.returning import WayBack
from engine.flow.returnpath import Directory
from engine.flow.senders import ConfiguredSender
from engine.flow.steering import outlets_of
from engine.flow.submission import Submission
from engine.flow.tlsreports import TlsReports
from engine.flow.tokens import TokenRing
from engine.flow.tracing import Tracing
from engine.flow.users import Users
from engine.guards import Guards
from engine.mail.compose import Compiled
from engine.mail.envelope import Batch, Recipient
from engine.mail.message import MessageError
from engine.net.negotiate import TlsContexts
from engine.network import Network, load_contexts
from engine.optout import displays
from engine.parts import configured, parties_of, sign_up_links, tell_policies, tell_senders
from engine.secret import secret_at
from engine.signer.client import SignerClient, SignerFailed
from engine.spool.sqlite import SqliteSpool
from engine.web.listener import OptOutListener
from engine.wire import Request
from suppression import LedgerFailed, RulesError, Suppression
from suppression.reasons import open_tables
from suppression.tables import Table

log = logging.getLogger(__name__)

STOPPING = "the engine is stopping; start it again to take the new configuration"
RETIRE_POLL = 0.05


class Running(Protocol):
    """The engine, as far as a reload reaches."""

    settings: Settings
    signer: SignerClient
    network: Network
    guards: Guards
    senders: dict[str, ConfiguredSender]
    ring: TokenRing
    letters: Letters
    suppression: Suppression
    spool: SqliteSpool
    roster: dict[int, Recipient]
    accept: Accept
    records: Records
    orders: Orders
    dispatch: Dispatch
    promote: Promote
    submission: Submission | None
    web: OptOutListener | None
    way_back: WayBack | None
    tls_reports: TlsReports | None

    draining: bool
    clock: Callable[[], float]

    def failed(self, future: asyncio.Future[Any]) -> None: ...

    def status(self) -> Mapping[str, object]: ...


@dataclass(frozen=True, slots=True)
class Opened:
    """What files say that the configuration names."""

    tables: tuple[Table, ...]
    users: Users | None
    directory: Directory | None
    contexts: TlsContexts


class Reload:
    def __init__(self, engine: Running, read: Callable[[Path], Settings | list[str]] = read_configuration) -> None:
        self._engine = engine
        self._read = read
        self._one_at_a_time = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()
        self.on_begin: Callable[[], None] = lambda: None
        self.on_end: Callable[[Sequence[str]], None] = lambda _errors: None
        """With the errors; for whoever supervises us."""

    async def answer(self, request: Request) -> Mapping[str, object]:
        del request
        began = time.monotonic()
        try:
            errors, changes = await self.run()
        except LedgerFailed as error:
            # No code that asks to be repeated: whoever repeats it would wait for an engine that is gone.
            raise wire.Refusal("ledger_failed", "", "", _ledger_fault(error)) from error
        seconds = round(time.monotonic() - began, 3)
        return {"errors": errors, "changes": changes, "restart_only": restart_only(), "seconds": seconds}

    async def run(self) -> tuple[list[str], list[str]]:
        """Errors (then nothing has changed), and what is new. Raises LedgerFailed, which stops the engine."""
        async with self._one_at_a_time:
            self.on_begin()
            errors, changes = ["the reload broke off; the log says why"], list[str]()
            try:
                errors, changes = await self._run()
            except SignerFailed as error:
                errors = [f"{self._engine.settings.file}: {error}"]
            except LedgerFailed as error:
                errors = [_ledger_fault(error)]
                fault = asyncio.get_running_loop().create_future()
                fault.set_result(error)
                self._engine.failed(fault)
                raise
            finally:
                self.on_end(errors)
        for line in errors:
            log.error("reload refused: %s", line)
        if not errors:
            log.warning("reloaded: %s", "; ".join(changes) or "nothing is new; the key files were read again")
        return errors, changes

    async def _run(self) -> tuple[list[str], list[str]]:
        engine = self._engine
        if self._is_stopping():
            return [STOPPING], []
        new = await asyncio.to_thread(self._read, engine.settings.file)
        if isinstance(new, list):
            return new, []
        opened = await asyncio.to_thread(open_files, new)
        errors = [f"{new.file}: {line}" for line in fixed_changes(engine.settings, new)]
        if isinstance(opened, list):
            return errors + [f"{new.file}: {line}" for line in opened], []
        if errors:
            return errors, []
        signer = SignerClient(new.signer, engine.signer.counts)
        await signer.start()
        try:
            await _prove(signer)
            await asyncio.to_thread(engine.suppression.take_over, parties_of(new))
            changed = changed_senders(engine.settings, new)
            made = await self._compiled(new, changed)
        except BaseException:
            await signer.close()
            raise
        if self._is_stopping():  # since it began: nobody would close the new signer
            await signer.close()
            return [STOPPING], []
        changes = [*live_changes(engine.settings, new), *_key_changes(engine.signer, signer)]
        self._swap(new, opened, signer, changed, made)
        # And what was refused between the first look and now.
        await asyncio.to_thread(engine.suppression.take_over, engine.suppression.parties)
        return [], changes

    def _is_stopping(self) -> bool:
        return self._engine.dispatch.closing

    async def _compiled(self, new: Settings, changed: frozenset[str]) -> dict[Name, Compiled]:
        """What the batches in memory of changed senders become. When it returns, none is missing but those that do
        not suit their sender any more, and nothing has been awaited since that was seen.
        """
        made: dict[Name, Compiled] = {}
        tried: set[Name] = set()
        while missing := {name_of(batch) for batch in _batches(self._engine, changed)} - tried:
            for name in missing:
                tried.add(name)
                if name[1] not in new.senders:
                    continue
                content = await self._engine.spool.content(name[0])
                try:
                    made[name] = compile_for(name, content, new.senders[name[1]].identity)
                except MessageError as error:
                    log.error("a queued message of sender %s does not suit it any more: %s", name[1], error)  # noqa: TRY400 - the text says it all
                await asyncio.sleep(0)
        return made

    def _swap(
        self,
        new: Settings,
        opened: Opened,
        signer: SignerClient,
        changed: frozenset[str],
        made: Mapping[Name, Compiled],
    ) -> None:
        """Nothing is awaited here: whoever looks sees the old configuration or the new one."""
        engine = self._engine
        old, old_signer = engine.settings, engine.signer
        engine.settings, engine.signer = new, signer
        signer.failed.add_done_callback(engine.failed)
        old_signer.failed.remove_done_callback(engine.failed)
        old_signer.failed.add_done_callback(_told)
        _replace(engine.senders, configured(new, engine.ring))
        engine.letters.adopt(signer, changed, made, list(_batches(engine, changed)))
        tell_senders(new, engine.suppression)
        engine.suppression.use_tables(opened.tables)
        engine.accept.adopt(new.accept)
        engine.records.adopt(sign_up_links(new))
        engine.orders.adopt(frozenset(new.senders), new.shaping)
        if engine.web:
            engine.web.senders = displays(new.senders)
        if engine.submission and opened.users is not None:
            engine.submission.users = opened.users
        if engine.way_back and opened.directory is not None:
            engine.way_back.listener.directory = opened.directory
        engine.guards.adopt(new, signer)
        self._swap_network(old, new, opened.contexts)
        logging.getLogger().setLevel(new.engine.log_level)
        self._retire("signer", _ended(old_signer))

    def _swap_network(self, old: Settings, new: Settings, contexts: TlsContexts) -> None:
        engine, mx = self._engine, new.resolver.mx
        engine.network.adopt(old, new, contexts)
        if engine.tls_reports:
            tell_policies(engine.network, engine.tls_reports)
        outlets = outlets_of(new.sources, new.pools, new.senders)
        resolver, routes = engine.network.resolver, new.routes.values()
        engine.dispatch.use(new.shaping, resolver, outlets, routes, new.resolver.lookups, mx.port if mx else None)
        engine.promote.unpark_all()

    def _retire(self, name: str, work: Any) -> None:
        retiring = asyncio.get_running_loop().create_task(work, name=f"retiring {name}")
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)

    async def close(self) -> None:
        """What was retired ends now."""
        retiring = list(self._retiring)
        for one in retiring:
            one.cancel()
        await asyncio.gather(*retiring, return_exceptions=True)


def make_control(engine: Running) -> tuple[Reload, dict[type[Request], Answer]]:
    """What operators order a running engine: reload, drain, trace."""
    reload, tracing = Reload(engine), Tracing(engine.dispatch.ways, engine.clock)
    engine.network.opening.trace = tracing.session
    return reload, {wire.Reload: reload.answer, wire.Drain: Drain(engine).answer, wire.Trace: tracing.answer}


def open_files(settings: Settings) -> Opened | list[str]:
    """Beside the loop. Every error, as `check` would say it."""
    problems: list[str] = []
    tables: tuple[Table, ...] = ()
    contexts: TlsContexts | None = None
    users: Users | None = None
    directory: Directory | None = None
    try:
        tables = open_tables(settings.suppression.rules)
    except RulesError as error:
        problems += [f"suppression.rules: {line}" for line in error.errors]
    try:
        contexts = load_contexts(settings)
    except OSError as error:
        problems.append(f"tls.ca_file or a client certificate of the routes cannot be used: {error}")
    ehlo_name = settings.engine.ehlo_name
    try:
        if settings.submission:
            _, users = open_submission(settings.submission, ehlo_name)
        if settings.return_path:
            verp_secret = secret_at(settings.engine.state / "verp.secret")
            directory = open_return_path(settings.return_path, settings.senders, ehlo_name, verp_secret)
    except SubmissionUnusable as error:
        problems.append(str(error))
    if problems or contexts is None:
        return problems
    return Opened(tables, users, directory, contexts)


def changed_senders(old: Settings, new: Settings) -> frozenset[str]:
    """Whose messages must be compiled again: those that are gone, too."""
    return frozenset(
        name
        for name in {*old.senders, *new.senders}
        if name not in old.senders
        or name not in new.senders
        or old.senders[name].identity != new.senders[name].identity
    )


async def _prove(signer: SignerClient) -> None:
    """One signature with each key: what cannot sign is found here and not by the mail."""
    infos = [info for infos in signer.keys.values() for info in infos]
    if infos:
        signatures = await signer.sign([(info.index, bytes(32)) for info in infos])
        assert [len(signature) for signature in signatures] == [info.size for info in infos]


def _key_changes(old: SignerClient, new: SignerClient) -> Iterator[str]:
    for domain in sorted({*old.keys, *new.keys}):
        before = {(info.selector, info.public): info for info in old.keys.get(domain, ())}
        after = {(info.selector, info.public): info for info in new.keys.get(domain, ())}
        if before.keys() != after.keys():
            names = " ".join(info.selector for info in after.values()) or "no key"
            yield f"{domain} signs with {names} (before: {' '.join(i.selector for i in before.values()) or 'no key'})"


def _batches(engine: Running, changed: frozenset[str]) -> Iterable[Batch]:
    if not changed:
        return ()
    return {r.batch.id: r.batch for r in engine.roster.values() if r.batch.sender in changed}.values()


def _replace(into: dict[str, ConfiguredSender], senders: Mapping[str, ConfiguredSender]) -> None:
    """In place, since many hold it; first what comes, then what goes: a thread may be reading."""
    into.update(senders)
    for name in into.keys() - senders.keys():
        del into[name]


def _ledger_fault(error: LedgerFailed) -> str:
    """Before the new configuration is in place and behind it: the remedy is the same."""
    return (
        "refusals could not be taken over for senders of the same client or agency, and the engine stops; it reads the "
        f"new configuration when it is started again. {error}"
    )


def _told(future: asyncio.Future[None]) -> None:
    """Signatures that the old processes still owe are refused to their sheets, and these are deferred."""
    if not future.cancelled() and (error := future.exception()):
        log.error("the signing processes of before failed while they ended: %s", error)


async def _ended(signer: SignerClient) -> None:
    try:
        while signer.backlog:
            await asyncio.sleep(RETIRE_POLL)
    finally:
        await asyncio.shield(signer.close())
