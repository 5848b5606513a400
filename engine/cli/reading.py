"""What `sokutatsu classify` does: reads the rules and the shaping as `run` would; no engine has to be running."""

from __future__ import annotations

import argparse
import json
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from engine.cli.why import duration, printable
from engine.config import Settings, read_configuration
from engine.config.shaping import shipped_tables
from engine.policy.automation import Automation, Where
from engine.policy.backoff import Ladder
from engine.policy.classify import SCOPES, Class, Rule, retry_hint
from engine.policy.fingerprint import fingerprint
from engine.policy.outcome import Attempt, Kind, PathWord, Ruling, rule
from engine.policy.rules import compile_rules, read_reply
from engine.policy.shaping import Shaping, read_shaping
from engine.smtp.event import Phase
from engine.smtp.reply import Reply


def run_classify(args: argparse.Namespace) -> int:
    reply = read_reply(args.reply)
    if not reply.code:
        print('sokutatsu: no reply: it begins with a code from 200 to 599, such as "550 5.1.1 text"', file=sys.stderr)
        return 2
    shaping = _shaping(args.config)
    if shaping is None:
        return 2
    host = args.site.rpartition(":")[0] or args.site
    provider = args.provider or (shaping.providers.of("", (host.lower().rstrip("."),)) if host else "")
    told = explain(reply, Phase[args.phase], provider, shaping)
    if args.json:
        print(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        for name, value in told.items():
            lines = value if isinstance(value, list) else [value]
            for number, line in enumerate(lines):
                print(f"{name if not number else '':<12} {printable(str(line))}".rstrip())
    return 0 if told["rule"] else 1


def _shaping(file: Path | None) -> Shaping | None:
    if file is None:
        read = read_shaping(shipped_tables(), "")
        assert isinstance(read, Shaping)
        return read
    settings = read_configuration(file)
    if isinstance(settings, Settings):
        return settings.shaping
    print("\n".join(settings), file=sys.stderr)
    return None


def explain(reply: Reply, phase: Phase, provider: str, shaping: Shaping) -> dict[str, Any]:
    rules = compile_rules(files("engine.policy").joinpath("rules.toml").read_text(encoding="utf-8"))
    found = rules.match(phase, reply, provider)
    attempt = Attempt(phase, reply, "", 0, 0.0, 5 * 86400, provider)
    ruling = rule(attempt, now=0.0, u=0.0, ladder=Ladder(jitter=0.0), rules=rules)
    where = Where("", "", "", provider)
    fired = [one for one in shaping.automation if _matches(one, reply, where)]
    bounce_class = ruling.bounce_class or Class.OTHER
    told = {
        "reply": str(reply),
        "phase": phase.name,
        "provider": provider,
        "rule": found.name if found else "",
        "class": "" if ruling.kind is Kind.DELIVERED else str(bounce_class),
        "scope": "" if ruling.kind is Kind.DELIVERED else str(found.scope if found else SCOPES[bounce_class]),
        "action": actions(ruling, reply, found),
        "automation": [one.name for one in fired],
    }
    if found is None and ruling.kind is not Kind.DELIVERED:
        told["fingerprint"] = fingerprint(reply)
    return told


def _matches(one: Any, reply: Reply, where: Where) -> bool:
    """Of rules for sites and domains nobody can say here; of a threshold the first match counts."""
    if one.level in ("site", "domain") and one.scope:
        return False
    if one.level == "provider" and one.scope != where.provider:
        return False
    alone = Automation([type(one)(one.name, "default", "", one.patterns, one.actions, 1, 0.0, one.duration, one.back)])
    return bool(alone.observe(reply, where, 0.0))


def actions(ruling: Ruling, reply: Reply, found: Rule | None) -> list[str]:
    """In words, the recipient's part first."""
    if ruling.kind is Kind.DELIVERED:
        return ["delivered"]
    told = []
    if ruling.kind is Kind.BOUNCED:
        told.append("bounces: no further attempt")
    else:
        hint = retry_hint(reply.text)
        asked = f" (the reply asks for {duration(hint)})" if hint else ""
        told.append(f"tries again, first after {duration(ruling.due)}{asked}")
    if reply.code >= 500 and found is not None and found.temporary:
        told.append("a 5xx that is tried again: the receiver means it so")
    if ruling.suppress:
        told.append(f"the address is suppressed: {ruling.suppress}")
    if ruling.suspend_sender:
        told.append(f"this sender's mail stays away from the site for {duration(ruling.suspend_sender)}")
    if ruling.path is PathWord.PAUSE:
        told.append(f"this source stays away from the site for {duration(ruling.pause_seconds)}")
    elif ruling.path is PathWord.FAILURE:
        told.append("the site gets fewer connections; a run of these closes it for a while")
    elif ruling.path is PathWord.SLOWER:
        told.append("the site gets fewer connections")
    if ruling.close_session:
        told.append("the session ends; the next message goes over another")
    if found is None:
        told.append("no rule knows it: the first digit decides (4 later, 5 never); add a rule to rules.toml")
    return told
