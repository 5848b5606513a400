"""The score of a list: what DNS says of its domains, and what ledger and last-sent store know of the sender."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from engine.cli.listscore import DOMAINS, ask_dns
from engine.net.resolver import ResolveFailure, Route, parse_route
from engine.policy.listscore import Counted
from suppression import Consent, Suppression, SuppressionSettings
from suppression.sent import SentStore
from suppression.view import LedgerView

NOW = 1_800_000_000.0


class Names:
    """A resolver that knows what it is told of; `silent` never answers."""

    def __init__(self) -> None:
        self.known: dict[str, Route | ResolveFailure] = {
            "routed.example": parse_route("routed.example", "h.example:25")
        }
        self.asked: list[str] = []

    def route(self, domain: str) -> Route | ResolveFailure | None:
        return self.known.get(domain)

    async def look_up(self, domain: str) -> None:
        self.asked.append(domain)
        if domain == "silent.example":
            await asyncio.Event().wait()
        if domain == "broken.example":
            raise RuntimeError("ours")
        kinds = {"gone.example": ResolveFailure(True, "no"), "later.example": ResolveFailure(False, "servfail")}
        self.known[domain] = kinds.get(domain) or parse_route(domain, "h.example:25")

    async def targets(self, route: Route) -> list:
        raise AssertionError("nobody is connected to")


def asked(addresses: list[str], names: Names) -> Counted:
    return asyncio.run(ask_dns(Counted(len(addresses), 0, addresses), names, 0.2))


def test_addresses_at_dead_domains_are_counted_and_what_does_not_answer_is_not() -> None:
    names = Names()
    where = ["GONE.example"] * 3 + ["gone.example.", "later.example", "silent.example", "routed.example", "ok.example"]
    found = asked([f"a{number}@{domain}" for number, domain in enumerate(where)], names)
    assert found.dead == 4
    assert "routed.example" not in names.asked
    assert asked([], Names()).dead == 0
    with pytest.raises(RuntimeError, match="ours"):
        asked(["a@broken.example"], Names())


def test_of_many_domains_a_bounded_number_is_asked_and_stands_for_all() -> None:
    names = Names()
    many = [f"a@d{number}.example" for number in range(5000)] + ["b@gone.example"] * 2500
    found = asked(many, names)
    assert 0 < len(names.asked) <= DOMAINS
    assert found.dead == round(2500 * 7500 / (2500 + len(names.asked) - 1))


def test_the_senders_own_history(tmp_path: Path) -> None:
    async def main() -> None:
        settings = SuppressionSettings(tmp_path / "l", tmp_path / "secret")
        suppression = Suppression.open(settings, clock=lambda: NOW)
        people = [f"r{number}@x.example" for number in range(5)]
        suppression.apply_now([Consent(one, NOW - 5, "web", "shop", evidence="f") for one in people])
        suppression.apply_now([Consent("z@x.example", NOW - 5, "web", "other", evidence="f")])
        with LedgerView(settings.folder, settings.secret_file) as view:
            assert view.newcomers(people, "shop") is None, "there is no store yet"
            sent = SentStore(settings.folder)
            assert view.newcomers(people, "shop") is None, "it has mailed nobody"
            noted = sent.note("shop", 20_000, suppression.identify(people[:2]), mail_order=False)
            assert noted is not None
            await noted
            assert view.newcomers([*people, "no address"], "shop") == 3
            assert view.newcomers(people, "other") is None
            assert sorted(view.recent_consents("shop", 100)) == people
            assert len(view.recent_consents("shop", 2)) == 2
            assert view.recent_consents("nobody", 100) == []
        await asyncio.to_thread(sent.close)
        suppression.close()

    asyncio.run(main())
