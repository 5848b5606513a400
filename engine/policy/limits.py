"""One path's limits: how hard it may be driven, and how an operator's table of them is read.

The keys are KumoMTA's where it has one, so that its users find their way; defaults are KumoMTA's for volume and
RFC 5321 4.5.3.2 for patience. A table holds only what differs. Reading collects every error, each naming key, value
and remedy, and refuses unknown keys. It reads plain mappings: no file, no TOML here.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Final

from engine.policy.backoff import Ladder
from engine.policy.duration import parse_duration
from engine.policy.quiet import QuietHours, parse_quiet
from engine.policy.throttle import REMEDY as RATE_REMEDY
from engine.policy.throttle import Rate
from engine.policy.window import Window

TLS_WORDS: Final = ("Opportunistic", "OpportunisticInsecure", "Required", "RequiredInsecure", "Disabled")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one path keeps to. Durations are seconds here; a table may write them as "5 minutes"."""

    connection_limit: int = 10
    """Connections open at once from one source to one site. Default 10."""
    initial_connection_limit: int = 5
    """Connections at once to a site not heard of yet; successes open the window up to connection_limit. Default 5."""
    failed_cohort_limit: float = 1.0
    """Windows full of connection failures in a row after which a site counts as dead; 0: never. Default 1."""
    max_connection_rate: Rate | None = Rate(100, 60, 100)  # noqa: RUF009 - frozen, shared on purpose
    """New connections a time: a rate, or "unlimited". Default "100/min"."""
    max_message_rate: Rate | None = Rate(100, 1, 100)  # noqa: RUF009 - as above
    """Messages a time: a rate, or "unlimited". Default "100/s"."""
    deferring_message_rate: Rate | None = Rate(10, 1, 10)  # noqa: RUF009 - as above
    """Messages a time at a site that has deferred the last 50 in a row; the next success lifts it. Default "10/s"."""
    max_deliveries_per_connection: int = 100
    """Messages over one connection before QUIT. Default 100."""
    max_ready: int = 1024
    """Recipients held in memory, ready to go, for one path. Default 1024."""
    idle_timeout: float = 60.0
    """Seconds that a connection without work is kept. Default "60s"."""
    connect_timeout: float = 60.0
    """Seconds for the TCP connection. Default "60s"."""
    banner_timeout: float = 300.0
    """Seconds for the 220 greeting (RFC 5321 4.5.3.2.1). Default "5m"."""
    ehlo_timeout: float = 300.0
    """Seconds for the reply to EHLO. Default "5m"."""
    starttls_timeout: float = 60.0
    """Seconds for STARTTLS and its handshake. Default "60s"."""
    auth_timeout: float = 60.0
    """Seconds for AUTH at a smart host. Default "60s"."""
    mail_from_timeout: float = 300.0
    """Seconds for the reply to MAIL (RFC 5321 4.5.3.2.2). Default "5m"."""
    rcpt_to_timeout: float = 300.0
    """Seconds for the reply to RCPT (RFC 5321 4.5.3.2.3). Default "5m"."""
    data_timeout: float = 120.0
    """Seconds for the 354 after DATA (RFC 5321 4.5.3.2.4). Default "2m"."""
    data_dot_timeout: float = 600.0
    """Seconds for the reply to the final dot (RFC 5321 4.5.3.2.6); less risks duplicates. Default "10m"."""
    rset_timeout: float = 60.0
    """Seconds for the replies to RSET and QUIT. Default "60s"."""
    enable_tls: str = "Opportunistic"
    """Opportunistic, OpportunisticInsecure, Required, RequiredInsecure or Disabled. Default "Opportunistic"."""
    enable_pipelining: bool = True
    """Whether PIPELINING is used where it is offered. Default true."""
    consecutive_connection_failures_before_delay: int = 100
    """Connection failures in a row after which all that is ready for the path is deferred. Default 100."""
    retry_interval: float = 1200.0
    """Seconds from the first attempt to the second; each further wait doubles. Default "20m"."""
    retry_steps: tuple[float, ...] = ()
    """The first waits one by one, in place of retry_interval, such as ["5m", "15m", "1h"]. Default []."""
    max_retry_interval: float = 14400.0
    """Seconds that no wait exceeds. Default "4h"."""
    retry_jitter: float = 0.2
    """Share of a wait, 0 to 0.5, by which chance may shorten it. Default 0.2."""
    provider_connection_limit: int = 0
    """Connections open at once from one source to all sites of the provider together; 0: no limit. Default 0."""
    provider_max_message_rate: Rate | None = None
    """Messages a time from one source to all sites of the provider together, or "unlimited". Default "unlimited"."""
    quiet_hours: QuietHours | None = None
    """When bulk mail rests, such as "22:00-07:00 Asia/Tokyo"; "" never. Default ""."""
    spread_minute: int = 0
    """Bulk mail rests in minute :00 of each hour, then starts spread over so many minutes; 0: no rest. Default 0."""
    max_message_size: int = 0
    """Octets of a message above which its recipients there are refused at submit (D16); 0: no limit. Default 0."""

    def ladder(self) -> Ladder:
        return Ladder(self.retry_interval, self.max_retry_interval, self.retry_jitter, self.retry_steps)

    def window(self) -> Window:
        return Window(self.connection_limit, self.initial_connection_limit, self.failed_cohort_limit)


def read_limits(mapping: Mapping[str, object], where: str, base: Limits | None = None) -> Limits | list[str]:
    """`base` with what the table says in place of its own, or every error. `where` names the table in the errors."""
    read = read_values(mapping, where)
    if isinstance(read, list):
        return read
    return agreed(replace(base or Limits(), **read), where)  # type: ignore[arg-type]


def read_values(mapping: Mapping[str, object], where: str) -> dict[str, object] | list[str]:
    values: dict[str, object] = {}
    errors = []
    for key, value in mapping.items():
        reader = _READERS.get(key)
        if reader is None:
            errors.append(f"{where}.{shown(key)}: {_unknown(key)}")
            continue
        try:
            values[key] = reader(value)
        except ValueError as error:
            errors.append(f"{where}.{key}: {shown(value)}: {error}")
    return errors or values


def agreed(limits: Limits, where: str) -> Limits | list[str]:
    if limits.retry_interval > limits.max_retry_interval:
        longest = f"max_retry_interval ({limits.max_retry_interval:g}s)"
        return [
            f"{where}.retry_interval: {limits.retry_interval:g}s exceeds {longest}: raise the one or lower the other"
        ]
    return limits


def _unknown(key: str) -> str:
    near = difflib.get_close_matches(key[:64], _READERS, n=1)
    return f"unknown key; did you mean {near[0]}?" if near else "unknown key; remove it"


def shown(value: object) -> str:
    """A name or value from a file, safe and short enough for a terminal."""
    if isinstance(value, str) and value.isascii() and value.isidentifier():
        return value[:80]
    shown = ascii(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."


_Reader = Callable[[object], object]


def _integer(lowest: int, highest: int) -> _Reader:
    def read(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest:
            return value
        raise ValueError(f"write a whole number from {lowest} to {highest}")

    return read


def _number(lowest: float, highest: float) -> _Reader:
    def read(value: object) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool) and lowest <= value <= highest:
            return float(value)
        raise ValueError(f"write a number from {lowest:g} to {highest:g}")

    return read


def _seconds(lowest: float, highest: float) -> Callable[[object], float]:
    def read(value: object) -> float:
        seconds = parse_duration(value)
        if lowest <= seconds <= highest:
            return seconds
        raise ValueError(f"write a duration from {lowest:g} to {highest:g} seconds")

    return read


def _waits(value: object) -> tuple[float, ...]:
    if not isinstance(value, list | tuple) or len(value) > 32:
        raise ValueError('write a list of at most 32 durations such as ["5m", "15m", "1h"]')
    read = _seconds(1, 604800)
    return tuple(read(wait) for wait in value)


def _rate(value: object) -> Rate | None:
    if value == "unlimited":
        return None
    if isinstance(value, str):
        return Rate.parse(value)
    raise ValueError(RATE_REMEDY + ', or "unlimited"')


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("write true or false")


def _tls(value: object) -> str:
    if isinstance(value, str) and value in TLS_WORDS:
        return value
    raise ValueError("write one of " + ", ".join(TLS_WORDS))


def _quiet(value: object) -> QuietHours | None:
    if isinstance(value, str):
        return parse_quiet(value) if value else None
    raise ValueError('write "22:00-07:00 Asia/Tokyo", or "" for none')


_TIMEOUT: Final = _seconds(0.05, 3600)
_READERS: Final[Mapping[str, _Reader]] = {
    "connection_limit": _integer(1, 100_000),
    "initial_connection_limit": _integer(1, 100_000),
    "failed_cohort_limit": _number(0, 1000),
    "max_connection_rate": _rate,
    "max_message_rate": _rate,
    "deferring_message_rate": _rate,
    "max_deliveries_per_connection": _integer(1, 1_000_000_000),
    "max_ready": _integer(1, 1_000_000),
    "enable_tls": _tls,
    "enable_pipelining": _flag,
    "consecutive_connection_failures_before_delay": _integer(1, 1_000_000),
    "retry_interval": _seconds(1, 604800),
    "retry_steps": _waits,
    "max_retry_interval": _seconds(1, 604800),
    "retry_jitter": _number(0, 0.5),
    "provider_connection_limit": _integer(0, 100_000),
    "provider_max_message_rate": _rate,
    "quiet_hours": _quiet,
    "spread_minute": _integer(0, 50),
    "max_message_size": _integer(0, 1 << 31),
} | {field.name: _TIMEOUT for field in fields(Limits) if field.name.endswith("_timeout")}
