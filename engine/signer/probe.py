"""What an RSA-2048 signature costs in this process: `python -m engine.signer.probe` prints CPU µs, one number.

processor.py runs it once for each way of multiplying that OpenSSL has. The key is made for it and thrown away.
"""

from __future__ import annotations

import time

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from engine.signer.backend import PADDING, PREHASHED

ROUNDS = 7
SIGNATURES = 8


def measure() -> float:
    """The least of several rounds: a disturbance only ever makes one dearer. About 40 ms, and the key."""
    key = generate_private_key(public_exponent=65537, key_size=2048)
    least = float("inf")
    for _ in range(ROUNDS):
        before = time.process_time()
        for _ in range(SIGNATURES):
            key.sign(bytes(32), PADDING, PREHASHED)
        least = min(least, time.process_time() - before)
    return least / SIGNATURES * 1e6


if __name__ == "__main__":
    print(f"{measure():.1f}")
