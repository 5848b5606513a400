"""[resolver] and the routes of [routes]: whom we ask where mail goes, and what is said beforehand.

A route's password stands in a file of its own, which only the engine's user may read: the configuration is safe to
show. Two routes to the same place must agree, since they are one site with one set of connections.
"""

from __future__ import annotations

import ipaddress
import stat
from collections.abc import Mapping
from pathlib import Path

from engine.config.settings import BOUNDS, EngineSettings, ResolverSettings, ResolverTable, RouteTable
from engine.config.trusting import read_client
from engine.mail.address import AddressError, parse_address
from engine.net.address import parse_networks
from engine.net.dns import DnsSettings
from engine.net.mx import Family, MxSettings
from engine.net.resolver import Credentials, Route, RouteError, is_address, is_host, parse_route
from engine.tables import Problems, dotted, parse_listen, read_table, shown

LONGEST_PASSWORD = 1024


def read_resolver(table: object, engine: EngineSettings | None, problems: Problems) -> ResolverSettings | None:
    given = read_table(ResolverTable, table, "resolver", problems, bounds=BOUNDS["resolver"])
    if given is None:
        return None
    before = len(problems.texts)
    servers = [_server(server, problems) for server in given.servers]
    for name in given.own_names:
        if not is_host(name) or is_address(name):
            problems.add("resolver.own_names", f"{shown(name)}: write host names")
    for address in given.own_addresses:
        if not is_address(address):
            problems.add("resolver.own_addresses", f"{shown(address)}: write IP addresses")
    try:
        allowed = parse_networks(given.allow_networks)
    except ValueError as error:
        problems.add("resolver.allow_networks", str(error))
        return None
    if given.deadline < given.timeout:
        problems.add("resolver.deadline", f"{given.deadline:g} is below resolver.timeout ({given.timeout:g}); raise it")
    if len(problems.texts) > before:
        return None
    dns = DnsSettings(
        tuple(server for server in servers if server),
        given.trust_ad,
        given.timeout,
        given.deadline,
        given.queries,
        given.cache_entries,
    )
    source = engine.source_address if engine else ""
    mx = MxSettings(
        given.port,
        _family(given.addresses, source),
        frozenset(name.lower().rstrip(".") for name in (*given.own_names, engine.ehlo_name if engine else "")),
        frozenset(str(ipaddress.ip_address(address)) for address in (*given.own_addresses, *([source] * bool(source)))),
        allowed,
    )
    return ResolverSettings(dns, mx if given.mx else None, given.lookups)


def _family(family: Family, source: str) -> Family:
    """A source address reaches its own kind only."""
    if not source:
        return family
    return Family.IPV6 if ":" in source else Family.IPV4


def _server(text: str, problems: Problems) -> tuple[str, int] | None:
    host, port = text, 53
    if not is_address(text):
        try:
            host, port = parse_listen(text)
        except ValueError:
            host = ""
    if is_address(host) and port:
        return host, port
    problems.add("resolver.servers", f"{shown(text)}: write an address such as 127.0.0.1, 127.0.0.1:53 or [::1]:53")
    return None


def read_routes(table: object, folder: Path, *, mx: bool, problems: Problems) -> dict[str, Route]:
    """`mx`: what no route names goes where DNS says, so that there need be none."""
    routes: dict[str, Route] = {}
    if not isinstance(table, Mapping) or not (table or mx):
        problems.add(
            "routes",
            'no route; add [routes] with a line such as "*" = "relay.example.jp:25", or set resolver.mx = true',
        )
        return routes
    by_site: dict[str, Route] = {}
    for domain, value in table.items():
        where = dotted("routes", domain)
        place = RouteTable(value) if isinstance(value, str) else read_table(RouteTable, value, where, problems)
        if place is None:
            continue
        try:
            name = domain if domain == "*" else parse_address(f"x@{domain}").domain
            credentials = _credentials(place, folder, where, problems)
            client = read_client(place, folder, where, problems)
            route = parse_route(domain, place.to, place.tls, credentials, client)
        except (AddressError, RouteError) as error:
            problems.add(where, str(error))
            continue
        if name in routes:
            problems.add(where, f"{name} is there twice; keep one")
        same = by_site.setdefault(route.site, route)
        if same != route:
            problems.add(
                where,
                f"{route.site} is in another route with another tls, login or certificate; "
                "give both the same, they are one site",
            )
        routes[name] = route
    return routes


def _credentials(place: RouteTable, folder: Path, where: str, problems: Problems) -> Credentials | None:
    if not place.username and place.password_file is None:
        return None
    if not place.username or place.password_file is None:
        problems.add(where, "username and password_file belong together; give both or none")
        return None
    found = _password(folder / place.password_file)
    if isinstance(found, ValueError):
        problems.add(f"{where}.password_file", f"{shown(str(place.password_file))}: {found}")
        return None
    return Credentials(place.username, found)


def _password(file: Path) -> str | ValueError:
    try:
        with file.open("rb") as opened:
            mode = stat.S_IMODE(file.stat().st_mode)
            raw = opened.read(LONGEST_PASSWORD + 1)
    except OSError as error:
        return ValueError(f"{error.strerror}; name a file that holds the password alone")
    if mode & 0o077:
        return ValueError(f"may be read by others (mode {mode:04o}); chmod 600")
    text = raw.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")
    if not 0 < len(text) <= LONGEST_PASSWORD or not text.isprintable():
        return ValueError("holds no password; write it there as one line")
    return text
