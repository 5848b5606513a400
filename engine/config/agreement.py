"""What tables must agree on with each other, and what is allowed but looks wrong (cautions)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from engine.config.profile import display_cautions
from engine.config.settings import Settings
from engine.config.trusting import check_tls_reports
from engine.tables import Problems, parse_listen
from suppression.decision import Category

ADVERTISING = frozenset({Category.AD, Category.AD_MO})


def check_agreement(settings: Settings, problems: Problems) -> None:
    door, settle, submission, listen = settings.door, settings.settle, settings.submission, settings.admin.listen
    if door.memory < door.frame_limit:
        problems.add("socket.memory", f"{door.memory} is below socket.frame_limit ({door.frame_limit}); raise it")
    if settle.backlog < settle.group:
        problems.add("settle.backlog", f"{settle.backlog} is below settle.group ({settle.group}); raise it")
    if settings.accept.max_age > settings.accept.horizon:
        problems.add("accept.max_age", "exceeds accept.horizon; raise the one or lower the other")
    for name in settings.retention.hold:
        if name not in settings.senders:
            problems.add("retention.hold", f"{name!a} is no sender of this file; add [senders.{name}], or correct it")
    _check_doors(settings, problems)
    check_tls_reports(settings, problems)
    returns = settings.return_path
    if returns and submission and parse_listen(returns.listen) == parse_listen(submission.listen):
        problems.add("return_path.listen", f"{returns.listen} is submission.listen too; choose another port")
    for name, sender in settings.senders.items():
        for pool in sorted({sender.pool, sender.pool_transactional} - settings.pools.keys()):
            known = ", ".join(sorted(settings.pools))
            problems.add(f"senders.{name}.pool", f"no pool {pool[:80]!a}; known are {known}: add [pools.{pool[:40]}]")
    if submission is None:
        return
    if listen and parse_listen(submission.listen) == parse_listen(listen) and parse_listen(listen)[1]:
        problems.add("submission.listen", f"{submission.listen} is admin.listen too; choose another port")
    if submission.certificate is None and not is_loopback(submission.listen):
        problems.add(
            "submission.listen",
            f"{submission.listen} is open to the network and passwords would travel in plain text; "
            "add certificate and key, or listen on 127.0.0.1",
        )


def _check_doors(settings: Settings, problems: Problems) -> None:
    """The opt-out listener against the others."""
    if settings.unsubscribe is None:
        return
    place = parse_listen(settings.unsubscribe.listen)
    for name, listen in (
        ("admin", settings.admin.listen),
        ("submission", settings.submission.listen if settings.submission else ""),
        ("return_path", settings.return_path.listen if settings.return_path else ""),
    ):
        if listen and place[1] and parse_listen(listen) == place:
            problems.add("unsubscribe.listen", f"{listen} is {name}.listen too; choose another port")


def is_loopback(listen: str) -> bool:
    host, _ = parse_listen(listen)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def cautions(settings: Settings) -> Iterator[str]:
    """For people: each names the key and why."""
    if settings.engine.ehlo_name == "localhost":
        yield "engine.ehlo_name is localhost: many receivers refuse it; write the name of this machine's PTR record"
    if settings.admin.listen and not is_loopback(settings.admin.listen):
        yield f"admin.listen {settings.admin.listen}: everybody who can reach it sees mailing names and rates"
    for name, sender in settings.senders.items():
        if not sender.identity.unsubscribe_url and sender.categories & ADVERTISING:
            yield (
                f"senders.{name} may send advertisements but has no unsubscribe_url: 特定電子メール法 4条2号 asks for "
                "an address or URL to refuse; without it there is no List-Unsubscribe either"
            )
        url = sender.identity.unsubscribe_url
        if settings.unsubscribe and url and not url.endswith("/u/{token}"):
            yield (
                f"senders.{name}.unsubscribe_url {url} does not end in /u/{{token}}, where [unsubscribe] answers: the "
                "proxy in front has to rewrite it"
            )
        yield from display_cautions(name, sender)
    if settings.unsubscribe and not is_loopback(settings.unsubscribe.listen):
        yield (
            f"unsubscribe.listen {settings.unsubscribe.listen} is open to the network without TLS: one-click links are "
            "https (RFC 8058 3.1), so let a proxy with the certificate answer, and listen on 127.0.0.1"
        )
    sites = {route.site for route in settings.routes.values()}
    mx = settings.resolver.mx
    if mx is not None and mx.allowed:
        networks = ", ".join(map(str, mx.allowed))
        yield f"resolver.allow_networks: strangers' MX records may lead into {networks}: for tests only"
    # A site that DNS names may come at any time; one with a port is a route's.
    for site in sorted(name for name in settings.shaping.site_names - sites if ":" in name or mx is None):
        yield f"shaping.site.{site!a}: no route leads there; a site is named host:port, here {', '.join(sorted(sites))}"
    if settings.signer.backend != "auto":
        yield f"signer.backend is {settings.signer.backend}: auto chooses the fastest that works here"
