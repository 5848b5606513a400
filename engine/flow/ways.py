"""Which way a lane's mail goes, and whether it may go now: asked before a pull, and again for what was pulled.

A way is a route (site), a provider, a source and the path they make. Whatever holds a whole lane back (a suspension,
quiet hours, a budget that is used up, paths without room) is known before anything is pulled, so that what waits costs
nothing. What divides a lane (one sender's suspension, one source's block) is settled recipient by recipient.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from engine.flow.outlets import Outlets
from engine.flow.path import Path
from engine.flow.paths import Paths
from engine.flow.renewal import renew, reroute
from engine.flow.steering import Steering
from engine.mail.envelope import Priority, Recipient
from engine.net.resolver import ResolveFailure, Resolver, Route, parse_route
from engine.policy.directive import Directive, Scope, Verb
from engine.policy.provider import Share
from engine.policy.quiet import rest_until
from engine.policy.shaping import Limits, Shaping
from engine.policy.source import Pool, Source, State, choose
from engine.spool.port import Lane

PULL = 256
"""Recipients of one pull: a transactional mail waits for at most one of them."""
COLD_SPREAD = 3600
"""Seconds over which a new day's budget is asked for: not everybody at midnight."""

MOST_LEADS = 20_000
MOST_SITES = 20_000
"""Twice as many as there may be paths, so that forgetting is rare."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a domain's mail goes, whatever source it leaves from."""

    route: Route
    domain: str
    """The domain, where it has limits of its own, else empty."""
    provider: str
    name: str
    """The site's name, with what else its paths are told apart by."""
    asked: str = ""
    """The domain, in any case."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What promote does with a lane that is due: pull as much as there is room for, wait, or park."""

    room: int = PULL
    paths: tuple[Path, ...] = ()
    """Who calls when there is room."""
    until: float = 0.0
    """Nothing goes before, Unix seconds."""
    parked: str = ""
    """Until this is unparked."""
    failure: ResolveFailure | None = None
    """Why nothing routes there, now or for good."""
    is_unknown: bool = False
    """Where its mail goes has to be looked up first."""
    is_crowded: bool = False
    """There are too many paths already."""


class MakePath(Protocol):
    def __call__(self, place: Place, limits: Limits, source: Source, share: Share | None) -> Path: ...


class Ways:
    def __init__(
        self,
        *,
        resolver: Resolver,
        shaping: Shaping,
        outlets: Outlets,
        steering: Steering,
        make: MakePath,
        put_back: Callable[[Recipient, int], None],
    ) -> None:
        self.outlets = outlets
        self.paths = Paths()
        self.on_forgotten: Callable[[str], None] = lambda _name: None
        self._resolver = resolver
        self._shaping = shaping
        self._steering = steering
        self._make = make
        self._put_back = put_back
        self._shares: dict[tuple[str, str], Share] = {}
        self._provider_at: dict[str, str] = {}
        self.leads: dict[str, str] = {}
        """Path -> the domain that came this way last: for whom its next connection counts."""
        self._only = next(iter(outlets.sources.values())) if outlets.is_single else None

    # -- finding -------------------------------------------------------------------------------------------

    def place(self, domain: str, to: str = "") -> Place | ResolveFailure | None:
        """`to`: host:port of a reroute. None: not known yet, to be looked up."""
        route = parse_route(domain, to) if to else self._resolver.route(domain)
        if not isinstance(route, Route):
            return route
        hosts: tuple[str, ...] = getattr(route, "mx_hosts", ())
        # Behind a relay for everybody there is no provider: its limits are the relay's own to keep.
        is_relay = bool(to) or (not hosts and route is self._resolver.route("*"))
        provider = self._shaping.providers.of("" if is_relay else domain, hosts or (route.host,))
        own = domain if self._shaping.is_own(domain) else ""
        first = self._provider_at.get(route.site)
        if first is None:
            first = self._remembered(route.site, provider)
        # One host for several providers' domains, as static routes may have it: their limits must not mix.
        site = route.site if first == provider else f"{route.site} ({provider or 'others'})"
        if route.standing is not None and route.standing.label:
            site = f"{site} ({route.standing.label})"
        return Place(route, own, provider, f"{site} for {own}" if own else site, domain)

    def _remembered(self, site: str, provider: str) -> str:
        """Of more sites than there may be paths, those that have none are forgotten: what goes there next names it."""
        if len(self._provider_at) >= MOST_SITES:
            in_use = {path.route.site for path in self.paths.values()}
            self._provider_at = {name: known for name, known in self._provider_at.items() if name in in_use}
        self._provider_at[site] = provider
        return provider

    def path(self, place: Place, source: Source) -> Path:
        name = self._name(place, source.name)
        path = self.paths.used(name)
        if path is None:
            limits = self._shaping.limits(place.route.site, place.domain, place.provider, source.name)
            share = self._share(place.provider, source.name, limits)
            path = self.paths[name] = self._make(place, limits, source, share)
            path.name = name
            if len(self.leads) > MOST_LEADS:
                self.leads.clear()
        elif path.provider != place.provider:
            self._renew(path, source, place.provider)
        # The same hosts, perhaps in another order by now: what DNS says goes for the next connection.
        path.route = place.route
        self.leads[name] = place.asked
        return path

    def _make_room(self, place: Place, now: float) -> bool:
        if any(self._known(place, name) is not None for name in self.outlets.sources):
            return True
        forgotten = self.paths.make_room(now)
        if forgotten:
            self.on_forgotten(forgotten)
        return bool(forgotten)

    def _place_now(self, domain: str) -> Place | None:
        place = self.place(domain)
        return place if isinstance(place, Place) else None

    def _share(self, provider: str, source: str, limits: Limits) -> Share | None:
        if not provider or not (limits.provider_connection_limit or limits.provider_max_message_rate):
            return None
        share = self._shares.get((provider, source))
        if share is None:
            share = Share(limits.provider_connection_limit, limits.provider_max_message_rate)
            self._shares[provider, source] = share
        return share

    def _name(self, place: Place, source: str) -> str:
        return place.name if self._only else f"{source}->{place.name}"

    def _known(self, place: Place, source: str) -> Path | None:
        return self.paths.get(self._name(place, source))

    # -- another configuration -----------------------------------------------------------------------------

    def knows_domain(self, domain: str) -> bool:
        """By a route of its own or by what DNS said. The route for everything knows nobody."""
        route = self._resolver.route(domain)
        return isinstance(route, Route) and route is not self._resolver.route("*")

    def knows_site(self, site: str) -> bool:
        return site in self._provider_at or any(path.route.site == site for path in self.paths.values())

    def use(
        self, resolver: Resolver, shaping: Shaping, outlets: Outlets, routes: Iterable[Route], mx_port: int | None
    ) -> None:
        """From now on. Paths keep what they have learnt, as far as the new limits let it; whoever has another way now
        goes back to the spool, due at once. `routes`: those of the operator. `mx_port`: of hosts named by DNS.
        """
        self._resolver, self._shaping, self.outlets = resolver, shaping, outlets
        self._only = next(iter(outlets.sources.values())) if outlets.is_single else None
        self._provider_at.clear()
        for (provider, source), share in self._shares.items():
            limits = shaping.limits("", "", provider, source)
            share.adopt(limits.provider_connection_limit, limits.provider_max_message_rate)
        by_site = {route.site: route for route in routes}
        for path in list(self.paths.values()):
            route = by_site.get(path.route.site, path.route)
            reroute(path, replace(route, port=mx_port) if route.mx and mx_port else route)
            self._renew(path, outlets.sources.get(path.source.name, path.source), path.provider)
            self._send_back(path)
            path.recheck = partial(self._recheck, path)

    def take_out(self, sender: str, sources: Collection[str]) -> bool:
        """The sender's mail leaves from these sources no more; what waits on their paths goes back. False: one of its
        pools would be left without any, and nothing is changed.
        """
        before = self.outlets.out.get(sender)
        if not self.outlets.take_out(sender, sources):
            return False
        if self.outlets.out.get(sender) != before:
            for path in list(self.paths.values()):
                if path.source.name in sources:
                    self._recheck(path)
                    path.recheck = partial(self._recheck, path)
        return True

    def _renew(self, path: Path, source: Source, provider: str) -> None:
        limits = self._shaping.limits(path.route.site, path.domain, provider, source.name)
        renew(path, limits, source, provider, self._share(provider, source.name, limits))

    def _recheck(self, path: Path) -> None:
        """Letters that were being made come in."""
        self._send_back(path)
        self._steering.sift(path)

    def _send_back(self, path: Path) -> None:
        self._steering.send_back(path.recall(partial(self._is_stray, path)))

    def _is_stray(self, path: Path, recipient: Recipient) -> bool:
        lane, batch = recipient.lane, recipient.batch
        place = self.place(lane.domain)
        if place is None:
            return False  # DNS is asked again before the next pull
        _, where, pool = self._way(lane, place if isinstance(place, Place) else None, batch.sender, batch.mailing)
        source = path.source.name
        return where is None or source not in pool.weights or path.name != self._name(where, source)

    # -- before a pull -------------------------------------------------------------------------------------

    def gate(self, lane: Lane, now: float) -> Gate:
        pool_name = ""
        place = self.place(lane.domain)
        if self._steering.directives:
            facts = self._facts(lane.domain, place)
            order = self._steering.order(facts, of_senders=False)
            if order is not None:
                return Gate() if order.verb is Verb.BOUNCE else Gate(parked=parked_by(order))
            reroute = self._steering.find(Verb.REROUTE, facts)
            if reroute is not None:
                place, pool_name = self._rerouted(lane.domain, place, reroute)
        if not isinstance(place, Place):
            return Gate(is_unknown=place is None, failure=place)
        return self._gate_to(place, lane, now, pool_name)

    def _gate_to(self, place: Place, lane: Lane, now: float, pool_name: str) -> Gate:
        if self.paths.is_full and not self._make_room(place, now):
            return Gate(is_crowded=True)
        if lane.priority is Priority.BULK:
            until = self.rest(place, lane.domain, now)
            if until:
                return Gate(until=until)
        if self._only and not self._steering.directives:
            path = self.path(place, self._only)
            return Gate(path.ready.space(lane.priority), (path,))
        return self._gate_of(place, lane, now, self.outlets.pools_of(lane.priority, pool_name))

    def rest(self, place: Place, domain: str, now: float) -> float:
        """Unix seconds until which bulk mail rests there; 0.0: it may go."""
        limits = self._shaping.limits(place.route.site, place.domain, place.provider)
        if limits.quiet_hours is None and not limits.spread_minute:
            return 0.0
        return rest_until(now, limits.quiet_hours, limits.spread_minute, domain)

    def _gate_of(self, place: Place, lane: Lane, now: float, pools: Sequence[Pool]) -> Gate:
        room = PULL
        full: list[Path] = []
        waits: list[float] = []
        orders: list[Directive] = []
        is_usable = False
        for pool in pools:
            states = {name: self._state(place, name, lane.priority, now) for name in pool.weights}
            if State.OPEN in states.values():
                is_usable = True
                found = [self._known(place, name) for name, state in states.items() if state is State.OPEN]
                room = min(room, sum(PULL if path is None else path.ready.space(lane.priority) for path in found))
            elif State.FULL in states.values():
                is_usable = True
                room = 0
                full += [path for name in states if (path := self._known(place, name)) is not None]
            else:
                waits += [self.outlets.next_day(name, now) for name, state in states.items() if state is State.COLD]
                found_orders = [self._steering.blocking(self._facts(lane.domain, place, name)) for name in states]
                orders += [order for order in found_orders if order is not None]
        if is_usable:
            return Gate(room, tuple(full))
        return Gate(until=min(waits)) if waits else Gate(parked=parked_by(orders[-1]))

    def _state(self, place: Place, source: str, priority: Priority, now: float) -> State:
        steering = self._steering
        if steering.directives and steering.blocking(self._facts("", place, source)) is not None:
            return State.BLOCKED
        if self.outlets.is_cold(source, place.provider, now):
            return State.COLD
        path = self._known(place, source)
        return State.FULL if path is not None and path.ready.space(priority) < 1 else State.OPEN

    def facts(self, domain: str) -> Scope:
        return self._facts(domain, self._place_now(domain))

    @staticmethod
    def _facts(
        domain: str, place: Place | ResolveFailure | None, source: str = "", sender: str = "", mailing: str = ""
    ) -> Scope:
        if not isinstance(place, Place):
            return Scope(domain, "", "", source, sender, mailing)
        return Scope(domain, place.provider, place.route.site, source, sender, mailing)

    def _rerouted(
        self, domain: str, place: Place | ResolveFailure | None, reroute: Directive
    ) -> tuple[Place | ResolveFailure | None, str]:
        return (self.place(domain, reroute.to) if reroute.to else place), reroute.pool

    # -- after a pull --------------------------------------------------------------------------------------

    def assign(self, lane: Lane, recipients: Sequence[Recipient], now: float) -> list[tuple[Path, list[Recipient]]]:
        """Each recipient to its path; those that may not go now are put back or ended here."""
        place = self._place_now(lane.domain)
        if self._only and place and not self._steering.directives:
            return [(self.path(place, self._only), list(recipients))] if recipients else []
        ways: dict[str, tuple[Path, list[Recipient]]] = {}
        known: dict[tuple[str, str], tuple[Directive | None, Place | None, Pool]] = {}
        states: dict[tuple[str, str], State] = {}
        for recipient in recipients:
            batch = recipient.batch
            way = known.get((batch.sender, batch.mailing))
            if way is None:
                way = known[batch.sender, batch.mailing] = self._way(lane, place, batch.sender, batch.mailing)
            order, where, pool = way
            if order is not None:
                self._steering.carry_out(order, recipient, now)
                continue
            if where is None:
                self._put_back(recipient, int(now) + 60)  # the route went while it was being pulled
                continue
            path = self._chosen(where, pool, recipient, now, states)
            if path is not None:
                ways.setdefault(f"{path.source.name}->{path.site}", (path, []))[1].append(recipient)
        return list(ways.values())

    def _way(
        self, lane: Lane, place: Place | None, sender: str, mailing: str
    ) -> tuple[Directive | None, Place | None, Pool]:
        facts = self._facts(lane.domain, place, "", sender, mailing)
        order = self._steering.order(facts)
        reroute = self._steering.find(Verb.REROUTE, facts)
        pool_name = ""
        if reroute is not None:
            other, pool_name = self._rerouted(lane.domain, place, reroute)
            place = other if isinstance(other, Place) else None
        return order, place, self.outlets.pool(sender, lane.priority, pool_name)

    def _chosen(
        self, place: Place, pool: Pool, recipient: Recipient, now: float, states: dict[tuple[str, str], State]
    ) -> Path | None:
        priority = recipient.batch.priority

        def state(source: str) -> State:
            if source in self.outlets.budgets:
                return self._state(place, source, priority, now)  # each recipient takes of it
            name = (source, place.name)
            if name not in states:
                states[name] = self._state(place, source, priority, now)
            return states[name]

        source, standing = choose(pool, recipient.id, state)
        if standing is State.BLOCKED:
            order = self._steering.blocking(self._facts("", place, source))
            if order is not None:
                self._steering.carry_out(order, recipient, now)
                return None
        if standing is State.COLD:
            self._put_back(recipient, int(self.outlets.next_day(source, now)) + recipient.id % COLD_SPREAD)
            return None
        self.outlets.take(source, place.provider, now)
        return self.path(place, self.outlets.sources[source])


def parked_by(order: Directive) -> str:
    return f"directive {order.number}"
