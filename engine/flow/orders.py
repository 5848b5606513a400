"""The requests steer, resume and why: what an operator orders about mail on its way, and asks about it.

A scope that names nothing that we know would be an order that stops nothing, so that names of the configuration are
checked; domains, sites and mailings may be such that come later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from engine import wire
from engine.flow.dispatch import Dispatch
from engine.flow.explain import Explain
from engine.flow.guarding import GUARD
from engine.flow.settle import Settle
from engine.flow.steering import Steering, TooManyDirectives
from engine.flow.walk import Walk
from engine.mail.envelope import Recipient
from engine.net.resolver import RouteError, parse_route
from engine.policy.directive import MOST_DIRECTIVES, Directive, Scope, Verb
from engine.policy.shaping import Shaping
from engine.queue.timeline import Timeline
from engine.request import Request, Resume, Steer, Why
from engine.spool.port import Cursor, Lane, Spool
from engine.wire import Refusal


class Orders:
    def __init__(
        self,
        steering: Steering,
        explain: Explain,
        *,
        senders: frozenset[str],
        providers: frozenset[str],
        mailings: Callable[[str | None, str | None], Awaitable[Sequence[object]]],
    ) -> None:
        """`mailings`: those of a sender, or of all, with this name."""
        self._steering = steering
        self._explain = explain
        self._senders = senders
        self._providers = providers
        self._mailings = mailings

    def adopt(self, senders: frozenset[str], shaping: Shaping) -> None:
        self._senders, self._providers = senders, providers_of(shaping)
        self._explain.use(shaping)

    def answerers(self) -> dict[type[Request], Callable[[Any], Any]]:
        return {Steer: self.steer, Resume: self.resume, Why: self.why}

    async def steer(self, request: Steer) -> Mapping[str, object]:
        scope = self._scope(request)
        if scope == Scope():
            raise Refusal("bad_request", "domain", "", "name a domain, provider, site, source, sender or mailing")
        if request.known:
            await self._check_known(scope)
        verb = Verb(request.verb)
        to = self._way(verb, request)
        if verb is Verb.BOUNCE and scope.source:
            text = "mail belongs to no source before it leaves: bounce by domain, provider, site, sender or mailing"
            raise Refusal("bad_request", "source", wire.shown(scope.source), text)
        try:
            given = await self._steering.give(
                verb, scope, request.seconds, request.reason, pool=request.pool or "", to=to
            )
        except TooManyDirectives:
            text = f"{MOST_DIRECTIVES} directives stand: resume some first (sokutatsu status lists them)"
            raise Refusal("bad_request", "verb", request.verb, text) from None
        except OSError as error:
            text = f"the directive could not be written to disk ({error.strerror}): it is not in force; free disk space"
            raise Refusal("unavailable", "", "", text) from None
        return {"number": given.number, "until": given.until}

    async def resume(self, request: Resume) -> Mapping[str, object]:
        scope = self._scope(request)
        if request.number is None and scope == Scope() and not request.everything:
            raise Refusal("bad_request", "number", "", "name a directive's number or a scope, or say everything")

        def wanted(directive: Directive) -> bool:
            if request.number is not None:
                return directive.number == request.number
            # A guard names sender and mailing; whoever resumes the mailing may name it alone.
            is_guards = bool(scope.mailing) and directive.by == GUARD and scope.covers(directive.scope)
            return request.everything or directive.scope == scope or is_guards

        try:
            ended = await self._steering.resume(wanted)
        except OSError as error:
            text = f"resumed, but that could not be written to disk ({error.strerror}): it comes back with a restart"
            raise Refusal("unavailable", "", "", text) from None
        return {"resumed": [directive.number for directive in ended]}

    async def why(self, request: Why) -> Mapping[str, object]:
        return self._explain.domain(request.domain.lower().rstrip("."))

    def _scope(self, request: Steer | Resume) -> Scope:
        given = {name: getattr(request, name) or "" for name in Scope.__slots__}
        for name, known in (
            ("sender", self._senders), ("provider", self._providers), ("source", self._steering.outlets.sources),
        ):  # fmt: skip
            if given[name] and given[name] not in known:
                text = f"is not in the configuration; known are {', '.join(sorted(known))[:200]}"
                raise Refusal("bad_request", name, wire.shown(given[name]), text)
        return Scope(**{**given, "domain": given["domain"].lower().rstrip(".")})

    async def _check_known(self, scope: Scope) -> None:
        unknown = self._explain.unknown(scope)
        if not unknown and scope.mailing and not await self._mailings(scope.sender or None, scope.mailing):
            unknown = "mailing"
        if unknown:
            what = "was submitted" if unknown == "mailing" else "waits for it, and nothing was sent there lately"
            text = f"nothing {what}: correct the name, or leave out `known` (--anyway) for what is still to come"
            raise Refusal(f"unknown_{unknown}", unknown, wire.shown(getattr(scope, unknown)), text)

    def _way(self, verb: Verb, request: Steer) -> str:
        """host:port of a reroute, as its site is named."""
        if verb is not Verb.REROUTE:
            if request.pool or request.to:
                raise Refusal("bad_request", "to", "", "pool and to belong to a reroute; leave them out")
            return ""
        if not request.pool and not request.to:
            raise Refusal("bad_request", "to", "", "name where to: host:port in `to`, or a pool of the configuration")
        if request.pool and request.pool not in self._steering.outlets.pools:
            known = ", ".join(sorted(self._steering.outlets.pools))[:200]
            raise Refusal("bad_request", "pool", wire.shown(request.pool), f"no such pool; known are {known}")
        if not request.to:
            return ""
        try:
            return parse_route("reroute", request.to).site
        except RouteError as error:
            raise Refusal("bad_request", "to", wire.shown(request.to), str(error)) from None


Flow = tuple[Spool, Timeline[Lane, Cursor], Settle, dict[int, Recipient]]


def make_orders(
    dispatch: Dispatch, shaping: Shaping, senders: frozenset[str], flow: Flow, clock: Callable[[], float]
) -> Orders:
    """Gives steering its walk through the spool, too."""
    spool, timeline, settle, roster = flow
    steering = dispatch.steering
    steering.use(Walk(spool=spool, timeline=timeline, settle=settle, roster=roster))
    explain = Explain(ways=dispatch.ways, steering=steering, shaping=shaping, timeline=timeline, clock=clock)
    return Orders(steering, explain, senders=senders, providers=providers_of(shaping), mailings=spool.totals)


def providers_of(shaping: Shaping) -> frozenset[str]:
    return frozenset(name for level, name in shaping.sheets if level == "provider")
