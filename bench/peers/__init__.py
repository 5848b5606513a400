"""Other people's mail servers beside ours, on the same machine, to the same sink, in the same run.

Each runs in a cell of its own (cell.py) made from Debian's and npm's packages, which are unpacked and not installed:
nothing starts by itself, nothing conflicts, nothing stays. The configurations in conf/ are tuned as each one's
documentation says; what that means stands beside each line.
"""

from bench.peers.command import main

__all__ = ["main"]
