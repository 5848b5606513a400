"""What may go now on one path: two first-in-first-out queues, transactional ahead of bulk.

Bounded by the path's `max_ready`, which is a memory budget: what does not fit stays in the spool. Transactional
mail has a budget of its own of the same size, so a full bulk queue never keeps it out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from engine.mail.envelope import Priority, Recipient


class Ready:
    __slots__ = ("limit", "queues")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.queues: tuple[deque[Recipient], deque[Recipient]] = (deque(), deque())

    def __len__(self) -> int:
        return len(self.queues[0]) + len(self.queues[1])

    def space(self, priority: Priority) -> int:
        return max(0, self.limit - len(self.queues[priority]))

    def push(self, recipients: Iterable[Recipient]) -> None:
        for recipient in recipients:
            self.queues[recipient.batch.priority].append(recipient)

    def put_back(self, recipients: Iterable[Recipient]) -> None:
        """To the front, in their order: they were next."""
        for recipient in reversed(list(recipients)):
            self.queues[recipient.batch.priority].appendleft(recipient)

    def take(self, count: int) -> list[Recipient]:
        """Up to `count`, transactional first."""
        urgent, bulk = self.queues
        taken = [urgent.popleft() for _ in range(min(count, len(urgent)))]
        taken += [bulk.popleft() for _ in range(min(count - len(taken), len(bulk)))]
        return taken

    def remove(self, unwanted: Callable[[Recipient], bool]) -> list[Recipient]:
        """Takes out what is unwanted, for cancel; walks everything."""
        removed: list[Recipient] = []
        for queue in self.queues:
            out = [recipient for recipient in queue if unwanted(recipient)]
            if out:
                kept = [recipient for recipient in queue if not unwanted(recipient)]
                queue.clear()
                queue.extend(kept)
                removed += out
        return removed
