"""A scenario file: what is sent, to a receiver of which temper, and what the result should be.

Read from bench/scenarios/NAME.toml into frozen values. Unknown keys, wrong types and impossible combinations are
refused, all at once, each with its key: a misspelt key would otherwise measure something else than was meant.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from bench.faults import FaultError, Share, parse_fault

FOLDER = Path(__file__).parent / "scenarios"
UNTIL = ("delivered", "transactional", "queued", "soak")
CATEGORIES = ("AD", "AD_MO", "TX_AD", "OTHER_AD", "FREE_AD", "CONFIRM", "TX", "NP")


class ScenarioError(ValueError):
    """All that is wrong with a scenario file, one line each."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What the project promises; 0 = nothing. The result says met or missed, the exit code stays 0."""

    rate_to_baseline: float = 0.0
    """messages/s at least so many times those of the baseline."""
    core_us_over_baseline: float = 0.0
    """CPU µs of the core process per message, beyond those of the baseline."""
    core_us: float = 0.0
    """CPU µs of the core process per message."""
    resident_mb: float = 0.0
    """Of the core, with everything queued."""
    start_seconds: float = 0.0
    """From the start of the process to readiness, with everything queued."""
    transactional_p99_ms: float = 0.0
    """From submit to arrival at the receiver."""
    growth_mb: float = 0.0
    """Of the core's memory, from the second quarter of a soak to its last."""
    opt_out_p99_ms: float = 0.0
    """From asking to the answer, of an opt-out in a storm."""


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    description: str
    recipients: int
    until: str = "delivered"
    """"delivered": all that can arrive has arrived; "transactional": all transactional mails have; "queued": all
    is accepted; "soak": the mailing is repeated until the time is over."""
    seconds: float = 300.0
    """Limit of the whole run; of a soak, its length."""
    message_bytes: int = 4096
    category: str = "AD"
    """AD needs a recorded consent of each recipient; they are among the suppression entries."""
    suppression_entries: int = 0
    """Addresses known to suppression; at least the recipients when the category needs consent."""
    opted_out: float = 0.0
    """Share of the recipients that opted out: none of them may get mail."""
    domains: int = 20
    sites: int = 1
    """Receiving servers, each on its own port; the domains are dealt out to them."""
    mx: bool = False
    """Domains are found by MX records, in a DNS server of the bench, instead of by routes."""
    connections: int = 20
    """Per site."""
    deliveries_per_connection: int = 100_000
    tls: bool = False
    pipelining: bool = True
    latency_ms: float = 0.0
    """Before each write of the receiver."""
    shares: tuple[str, ...] = ()
    """Faults of the receiver, FAULT=FRACTION."""
    stalled: float = 0.0
    """Share of additional recipients at a site that does nothing but `stalled_fault`."""
    stalled_fault: str = "stall"
    dead: bool = False
    """The site of the stalled ones does not even listen; `stalled_fault` only names its recipients."""
    retry_seconds: float = 2.0
    transactional: int = 0
    """Transactional mails, submitted one by one when the bulk is queued."""
    transactional_interval_ms: float = 25.0
    opt_outs_per_second: int = 0
    """A storm: so many of the recipients opt out every second while the mailing goes out."""
    opt_outs: int = 0
    """How many in all."""
    hold_seconds: float = 0.0
    """Nothing may go before so many seconds after the injection began, when all is queued. The rate is from then."""
    parked: bool = False
    """Nothing may go before tomorrow: only the queue is measured."""
    restart: bool = False
    """Stop the engine when all is queued, and measure its start with a full spool."""
    baseline: str = ""
    """A scenario that is run before, with as many recipients, for rate_to_baseline."""
    signer: str = "auto"
    goal: Goal = field(default_factory=Goal)


def read_scenario(name: str) -> Scenario:
    """`name` of a file in bench/scenarios, or a path ending in .toml. Raises ScenarioError."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.toml")))
        raise ScenarioError(f"{name[:80]!a}: no such scenario; known: {known}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: {error}") from error
    return parse_scenario(path.stem, table)


def parse_scenario(name: str, table: Mapping[str, object]) -> Scenario:
    errors: list[str] = []
    values = _read(Scenario, table, "", errors)
    goal = _read(Goal, _table(table.get("goal", {}), errors), "goal.", errors)
    if errors:
        raise ScenarioError("\n".join(f"{name}: {error}" for error in errors))
    scenario = Scenario(name=name, goal=Goal(**goal), **values)
    errors = [f"{name}: {error}" for error in _contradictions(scenario)]
    if errors:
        raise ScenarioError("\n".join(errors))
    return scenario


def _table(value: object, errors: list[str]) -> Mapping[str, object]:
    if isinstance(value, Mapping):
        return value
    errors.append("goal: must be a table")
    return {}


def _read(kind: type, table: Mapping[str, object], prefix: str, errors: list[str]) -> dict[str, Any]:
    known = {entry.name: entry for entry in fields(kind) if entry.name not in ("name", "goal")}
    errors += [f"{prefix}{key[:80]!a}: unknown key" for key in table if key not in known and key != "goal"]
    values: dict[str, Any] = {}
    for key, entry in known.items():
        if key in table:
            value = _value(entry, table[key])
            if value is None:
                errors.append(f"{prefix}{key}: {table[key]!a} is not a {entry.type}, or is below 0")
            values[key] = value
        elif entry.default is MISSING:
            errors.append(f"{prefix}{key}: missing")
    return values


def _value(entry: Field[Any], value: object) -> object:
    match entry.type, value:
        case "bool", bool():
            return value
        case "int", int() if not isinstance(value, bool) and value >= 0:
            return value
        case "float", int() | float() if not isinstance(value, bool) and value >= 0:
            return float(value)
        case "str", str():
            return value
        case "tuple[str, ...]", list() if all(isinstance(part, str) for part in value):
            return tuple(value)
        case _:
            return None


def _contradictions(scenario: Scenario) -> list[str]:
    rules = [
        (scenario.recipients < 1, "recipients: at least 1"),
        (scenario.until not in UNTIL, f"until: {scenario.until[:80]!a} is none of {', '.join(UNTIL)}"),
        (scenario.category not in CATEGORIES, f"category: {scenario.category[:80]!a} is none of {CATEGORIES}"),
        (scenario.until == "transactional" and not scenario.transactional, "transactional: how many?"),
        (scenario.parked and scenario.until != "queued", "parked: nothing will arrive, so until must be queued"),
        (scenario.hold_seconds > 25, "hold_seconds: at most 25, or the run is over before anything moves"),
        (scenario.hold_seconds > 0 and scenario.parked, "hold_seconds, parked: one of them"),
        (scenario.dead and not scenario.stalled, "dead: which share of additional recipients? (stalled)"),
        (scenario.opt_outs > scenario.recipients, "opt_outs: at most as many as recipients"),
        (
            bool(scenario.opt_outs) != bool(scenario.opt_outs_per_second),
            "opt_outs, opt_outs_per_second: one says how many, the other how fast; both or none",
        ),
        (
            bool(scenario.opt_outs) and scenario.until != "delivered",
            "opt_outs: only with until = delivered",
        ),
        (scenario.restart and scenario.until != "queued", "restart: only with until = queued"),
        (not 1 <= scenario.sites <= 200, "sites: 1 to 200"),
        (scenario.domains < scenario.sites, "domains: at least as many as sites"),
        (scenario.stalled > 1 or scenario.opted_out > 1, "stalled, opted_out: a share, 0 to 1"),
        (scenario.mx and (scenario.tls or scenario.stalled > 0), "mx: neither with tls nor with stalled"),
        (bool(scenario.goal.core_us_over_baseline) and not scenario.baseline, "goal.core_us_over_baseline: which?"),
        (scenario.seconds > 3600, "seconds: at most 3600"),
        (bool(scenario.goal.rate_to_baseline) and not scenario.baseline, "goal.rate_to_baseline: which baseline?"),
    ]
    errors = [text for broken, text in rules if broken]
    try:
        parse_fault(scenario.stalled_fault)
        for share in scenario.shares:
            Share.parse(share)
    except FaultError as error:
        errors.append(str(error))
    return errors
