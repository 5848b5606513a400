"""What all connections of the door together may hold in large frames.

Bytes are granted for whole frames before they are read, first come first served, so that whoever has begun can
always finish: no two connections can wait for each other.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol


class Waiter(Protocol):
    def granted(self) -> None:
        """The grant that was asked for has come."""
        ...


class Budget:
    def __init__(self, total: int) -> None:
        self._free = total
        self._waiting: deque[tuple[Waiter, int]] = deque()

    def grant(self, connection: Waiter, size: int) -> bool:
        """False: the connection will be told by granted()."""
        if self._waiting or size > self._free:
            self._waiting.append((connection, size))
            return False
        self._free -= size
        return True

    def release(self, size: int) -> None:
        self._free += size
        while self._waiting and self._waiting[0][1] <= self._free:
            connection, wanted = self._waiting.popleft()
            self._free -= wanted
            connection.granted()

    def forget(self, connection: Waiter) -> None:
        self._waiting = deque(pair for pair in self._waiting if pair[0] is not connection)
        self.release(0)
