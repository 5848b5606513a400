"""What an operator sees of a session: commands and replies as text, a payload as its size, a login not at all.

A note is only made while somebody traces; the sessions ask `is not None` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

Note = Callable[[str, str], None]
"""Direction (> ours, < theirs, * a remark, end: the last remark) and text, of one line or several."""


def note_out(note: Note, chunks: Iterable[bytes], payloads: Sequence[bytes]) -> None:
    """`payloads`: of the transactions that are open; known by identity, since nothing of them may be shown."""
    for chunk in chunks:
        if any(chunk is payload for payload in payloads):
            note(">", f"({len(chunk):,} bytes of message)")
        else:
            note(">", text_of(chunk))


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "replace")
