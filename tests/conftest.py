"""Before any test: engines that start as processes measure nothing about this processor (0.5 s each, hundreds of them).

This is OpenSSL's word for "as you are" (OPENSSL_ia32cap(3)): no capability is taken away. tests/unit/signer holds the
measuring against real processes, and the demo and the bench do it as in production.
"""

import os

os.environ.setdefault("OPENSSL_ia32cap", ":~0x0")
