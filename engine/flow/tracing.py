"""Tracing: the dialogue of the next sessions with one site or domain, kept line by line for whoever asks.

Off, it costs one comparison for each read and write. On, payloads are replaced by their size and nothing of a login is
kept. Bounded: few traces, few sessions, the last lines only; one that nobody asks for any more ends by itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping

from engine import wire
from engine.flow.path import Path
from engine.flow.ways import Ways
from engine.net.resolver import ResolveFailure
from engine.net.trace import Note
from engine.wire import Refusal

MOST_TRACES = 4
MOST_LINES = 2000
PATIENCE = 60.0
"""Seconds without a question after which a trace ends."""
LONGEST_LINE = 500

Line = tuple[int, float, int, str, str]
"""Number, Unix time, session, direction (> ours, < theirs, * a remark), text."""


class Trace:
    """Of one question; `left` sessions may still begin."""

    def __init__(self, site: str, sessions: int) -> None:
        self.site = site
        self.left = sessions
        self.begun = self.open = 0
        self.last = 0
        self.notes: list[Note] = []
        self.lines: deque[Line] = deque(maxlen=MOST_LINES)

    def add(self, now: float, session: int, direction: str, text: str) -> None:
        self.last += 1
        self.lines.append((self.last, now, session, direction, text[:LONGEST_LINE]))


class Tracing:
    def __init__(self, ways: Ways, clock: Callable[[], float]) -> None:
        self._ways = ways
        self._clock = clock
        self._number = 0
        self._asked: dict[int, float] = {}
        self.traces: dict[int, Trace] = {}

    def session(self, path: Path) -> Note | None:
        """For a connection that is being opened: where its dialogue goes, or None."""
        if not self.traces:
            return None
        self._tidy()
        for trace in self.traces.values():
            if trace.left and path.route.site == trace.site:
                return self._begin(trace, path)
        return None

    def _begin(self, trace: Trace, path: Path) -> Note:
        trace.left -= 1
        trace.begun += 1
        trace.open += 1
        number = trace.begun
        clock = self._clock

        def note(direction: str, text: str) -> None:
            if direction == "end":
                trace.open -= 1
                direction = "*"
            for line in text.replace("\r\n", "\n").removesuffix("\n").split("\n"):
                trace.add(clock(), number, direction, line)

        trace.notes.append(note)
        note("*", f"session with {path.site} from source {path.source.name}")
        return note

    async def answer(self, request: wire.Trace) -> Mapping[str, object]:
        self._tidy()
        number = self._new(request) if request.number is None else request.number
        trace = self.traces.get(number)
        if trace is None:
            text = "no such trace: it ended a minute after the last question; begin another"
            raise Refusal("bad_request", "number", str(number), text)
        self._asked[number] = self._clock()
        lines = [line for line in trace.lines if line[0] > request.after]
        if request.stop:
            self._end(number)
        return {
            "number": number,
            "site": trace.site,
            "lines": lines,
            "last": trace.last,
            "is_over": not trace.left and not trace.open,
        }

    def _new(self, request: wire.Trace) -> int:
        if len(self.traces) >= MOST_TRACES:
            raise Refusal("busy", "target", "", f"{MOST_TRACES} traces run already: end one of them first")
        self._number += 1
        trace = self.traces[self._number] = Trace(self._site(request.target or ""), request.sessions)
        self._asked[self._number] = self._clock()
        self._join(trace)
        return self._number

    def _join(self, trace: Trace) -> None:
        """Sessions that are open already: where they are long, no new one may come for hours."""
        for path in self._ways.paths.values():
            for connection in path.pool.connections if path.route.site == trace.site else ():
                if not trace.left:
                    return
                if connection.trace is None:
                    connection.trace = self._begin(trace, path)
                    connection.trace("*", "it was open already")

    def _site(self, target: str) -> str:
        name = target.lower().rstrip(".")
        sites: Iterable[str] = (path.route.site for path in self._ways.paths.values())
        if name in sites:
            return name
        place = self._ways.place(name)
        if place is None or isinstance(place, ResolveFailure):
            why = place.text if place else "nothing was sent there yet; a site is named as in `sokutatsu status`"
            raise Refusal(
                "bad_request", "target", wire.shown(target), f"neither a site nor a domain that is known: {why}"
            )
        return place.route.site

    def _tidy(self) -> None:
        now = self._clock()
        for number in [number for number, at in self._asked.items() if now - at > PATIENCE]:
            self._end(number)

    def _end(self, number: int) -> None:
        """A connection that is being opened goes on noting into what nobody reads."""
        self._asked.pop(number, None)
        trace = self.traces.pop(number, None)
        if trace is not None:
            for path in self._ways.paths.values():
                for connection in path.pool.connections:
                    if connection.trace in trace.notes:
                        connection.trace = None
