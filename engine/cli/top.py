"""`sokutatsu top`: a running engine on one screen, looked at again and again; q ends it.

Rate, places, outcomes, the busiest sites with what binds them, mailings with bars, why recipients were suppressed, the
last errors. What does not fit the terminal is left out from the bottom; --once prints one screen and ends. Exit codes:
0 ended by its user, 3 the engine cannot now or did not answer.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import select
import sys
import termios
import time
import tty
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from engine.cli.mailings import ENDS, done_of, progress_of, table_of
from engine.cli.speaking import add_socket, guarded
from engine.cli.status import BINDS
from engine.cli.why import duration, printable
from engine.client import Client

PATIENCE = 15.0
MEMORY = 10
"""Looks over which rates are taken."""
SPARKS = "▁▂▃▄▅▆▇█"
PLACES = ("waiting", "ready", "in_flight", "held")
FRAME = 3
"""Lines of a table beside its rows: title, heading, rule."""
DESCRIPTION = """\
Shows a running engine on one screen and renews it each --interval seconds: how
fast mail goes, where everybody is, outcomes since the start, the busiest sites
with what binds them, mailings with their progress, why recipients were
suppressed, and the last errors. q or Ctrl-C ends it; the engine is not touched.

A site's ETA is for what is in memory for it; `sokutatsu why DOMAIN` counts what
waits in the spool, too."""
EPILOG = """\
examples:
  sokutatsu top
  sokutatsu top --once | head -5

exit codes:
  0  ended by its user
  2  wrong arguments
  3  the engine cannot now or did not answer"""


def register(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "top",
        help="watch a running engine: rate, places, sites, mailings, errors",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_socket(parser, run_top, patience=PATIENCE)
    parser.add_argument("--interval", type=float, default=1.0, metavar="SECONDS", help="between looks (default: 1)")
    parser.add_argument("--once", action="store_true", help="two looks, one screen, and the end")
    parser.add_argument("--json", action="store_true", help="one snapshot, as --once: what the engine said, as JSON")


def run_top(args: argparse.Namespace) -> int:
    if not 0.1 <= args.interval <= 60:
        print(f"sokutatsu: --interval {args.interval:g}: write 0.1 to 60", file=sys.stderr)
        return 2
    return guarded(args, lambda: _top(args))


def _top(args: argparse.Namespace) -> int:
    console, memory = Console(), Memory()
    with Client(args.socket, patience=args.patience) as client:
        memory.look(client.status(), time.monotonic())
        if args.once or args.json:
            time.sleep(args.interval)
            memory.look(client.status(), time.monotonic())
            if args.json:
                told = {name: value for name, value in memory.told.items() if name not in ("id", "ok")}
                print(json.dumps(told, ensure_ascii=False, indent=2))
            else:
                console.print(screen(memory, console.width, max(console.height, 24)))
            return 0
        try:
            with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
                while True:
                    live.update(screen(memory, console.width, console.height), refresh=True)
                    if pressed(args.interval) in ("q", "Q", "\x1b"):
                        return 0
                    memory.look(client.status(), time.monotonic())
        except KeyboardInterrupt:
            return 0


@contextlib.contextmanager
def _keys() -> Iterator[Any]:
    """A function that waits so many seconds for a key. Without a terminal nobody presses one."""
    if not sys.stdin.isatty():
        yield _nobody
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield lambda seconds: sys.stdin.read(1) if select.select([sys.stdin], [], [], seconds)[0] else ""
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _nobody(seconds: float) -> str:
    time.sleep(seconds)
    return ""


class Memory:
    """The last looks, for what is a difference between two."""

    def __init__(self) -> None:
        self.told: Mapping[str, Any] = {}
        self._looks: deque[tuple[float, int, dict[tuple[str, str], int]]] = deque(maxlen=MEMORY + 1)
        self.rates: deque[float] = deque(maxlen=60)

    def look(self, told: Mapping[str, Any], now: float) -> None:
        self.told = told
        engine = told["engine"]
        self._looks.append((now, sum(engine[name] for name in ENDS), done_of(told["mailings"])))
        if len(self._looks) > 1:
            (then, before, _), (_, done, _) = self._looks[-2], self._looks[-1]
            self.rates.append(max(0, done - before) / max(now - then, 0.001))

    @property
    def seconds(self) -> float:
        return self._looks[-1][0] - self._looks[0][0]

    @property
    def rate(self) -> float:
        """Outcomes a second, over the looks that are remembered."""
        return max(0, self._looks[-1][1] - self._looks[0][1]) / self.seconds if self.seconds else 0.0

    @property
    def before(self) -> Mapping[tuple[str, str], int]:
        return self._looks[0][2]


def screen(memory: Memory, width: int, height: int) -> RenderableType:
    """No more than `height` lines."""
    told = memory.told
    engine = told["engine"]
    parts: list[RenderableType] = [_head(memory), _numbers(engine, PLACES, width), _numbers(engine, ENDS, width)]
    left = height - 1 - len(parts)
    reasons, errors = _reasons(engine, width), _errors(engine, width)[: max(1, height // 8)]
    left -= len(errors) + bool(errors) + len(reasons)
    mailings = [one for one in told["mailings"] if one["open"]] or list(told["mailings"][:3])
    sites = engine["sites"]
    rows = max(0, left - FRAME * 2)
    for_mailings = min(len(mailings), max(rows // 2, rows - len(sites)))
    for_sites = min(len(sites), rows - for_mailings)
    if for_sites > 0:
        parts.append(_sites(sites[:for_sites], len(sites), width))
    if for_mailings > 0:
        found = progress_of(mailings, memory.before, memory.seconds, engine.get("directives", ()))
        parts.append(table_of(found, title=_title("Mailings", for_mailings, len(mailings)), rows=for_mailings))
    parts += [*reasons, *errors]
    return Group(*parts)


def _title(what: str, shown: int, there: int) -> str:
    return what if shown >= there else f"{what} ({shown} of {there:,})"


def _line(*parts: tuple[str, str]) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    for text, style in parts:
        line.append(printable(text), style=style)
    return line


def _head(memory: Memory) -> Text:
    engine, told = memory.told["engine"], memory.told
    state = ("draining", "bold yellow") if told["draining"] else ("running", "bold green")
    parts = [
        ("sokutatsu ", "bold"), (f"{engine['node']} ", ""), state, (f" {duration(engine['uptime_seconds'])}  ", ""),
        (f"{memory.rate:,.0f}/s ", "bold"), (_spark(memory.rates), "cyan"),
    ]  # fmt: skip
    if engine.get("balance"):
        parts.append((f"  UNACCOUNTED {engine['balance']:,}", "bold red"))
    return _line(*parts, ("  q quits", "dim"))


def _spark(rates: deque[float]) -> str:
    last = list(rates)[-20:]
    most = max(last, default=0.0)
    return "".join(SPARKS[int((len(SPARKS) - 1) * rate / most)] if most else SPARKS[0] for rate in last)


def _numbers(engine: Mapping[str, Any], names: tuple[str, ...], width: int) -> Text:
    """Side by side, in columns that stay where they are."""
    column = max(15, min(24, (width - 1) // len(ENDS)))
    parts = []
    for name in names:
        text = f"{name.replace('_', ' ')} {_short(engine[name]) if column < 20 else format(engine[name], ',')}"
        style = "bold red" if name == "bounced" and engine[name] else "bold" if engine[name] else "dim"
        parts.append((f"{text:<{column - 1}} ", style))
    return _line(*parts)


def _short(number: int) -> str:
    for limit, unit in ((10_000_000_000, "G"), (10_000_000, "M"), (10_000, "k")):
        if number >= limit:
            return f"{number / (limit / 10):,.1f}{unit}"
    return f"{number:,}"


def _sites(sites: list[Mapping[str, Any]], there: int, width: int) -> Table:
    table = Table(
        title=_title("Busiest sites", len(sites), there), box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False,
        padding=(0, 1), expand=True, show_edge=False, title_style="bold",
    )  # fmt: skip
    table.add_column("site", no_wrap=True, overflow="ellipsis", ratio=3)
    numbers = (
        ("ready", "conn.", "rate", "ETA") if width < 100 else ("ready", "conn.", "delivered", "deferred", "rate", "ETA")
    )
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("binds", no_wrap=True, overflow="ellipsis", ratio=2)
    for site in sites:
        here = site["ready"] + site["in_flight"]
        eta = "-" if not here else duration(here / site["rate"]) if site["rate"] >= 0.1 else "?"
        more = () if width < 100 else (f"{site['delivered']:,}", f"{site['deferred']:,}")
        table.add_row(
            Text(printable(site["site"])), f"{here:,}", f"{site['connections']}/{site['window']:.0f}", *more,
            f"{site['rate']:,.1f}/s", eta, Text(_binds(site)),
        )  # fmt: skip
    return table


def _binds(site: Mapping[str, Any]) -> str:
    if site["paused_seconds"]:
        return f"rests {duration(site['paused_seconds'])}"
    return printable(BINDS.get(site["binds"], site["binds"]))


def _reasons(engine: Mapping[str, Any], width: int) -> list[Text]:
    reasons = sorted(engine["suppressed_by_reason"].items(), key=lambda entry: -entry[1])
    if not reasons:
        return []
    text = "  ".join(f"{name} {_short(number)}" for name, number in reasons)
    return [_line(("suppressed  ", "bold"), (text[: width * 2], ""))]


def _errors(engine: Mapping[str, Any], width: int) -> list[Text]:
    found = [(site["site"], site["last_error"]) for site in engine["sites"] if site["last_error"]]
    found += [(one["domain"], one["error"]) for one in engine.get("unresolved", ())]
    return [_line((f"{name}  ", "bold red"), (error[: width * 2], "")) for name, error in found]
