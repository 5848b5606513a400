"""What a TLS handshake left behind: the certificates that the server sent, or the word for why it failed.

RFC 8460 4.3 has the words. Python has a public way to the whole chain from 3.13 on; before that the object beneath has
the same method, and where neither is there the server's own certificate is all that is known. It judges nothing.
"""

from __future__ import annotations

import ssl
from typing import Any, Final

_EXPIRED: Final = frozenset({9, 10})
"""X509_V_ERR_ of OpenSSL's x509_vfy.h: not yet valid, no longer."""
_MISNAMED: Final = frozenset({62, 64})
"""Host name, IP address."""


def presented(ssl_object: Any) -> tuple[bytes, ...]:
    """DER, the server's own first."""
    if hasattr(ssl_object, "get_unverified_chain"):
        return tuple(ssl_object.get_unverified_chain())
    beneath = getattr(ssl_object, "_sslobj", None)
    if beneath is not None and hasattr(beneath, "get_unverified_chain"):
        return tuple(ssl.PEM_cert_to_DER_cert(found.public_bytes()) for found in beneath.get_unverified_chain() or ())
    own = ssl_object.getpeercert(binary_form=True)
    return (own,) if own else ()


def failure_of(error: BaseException | None) -> str:
    """RFC 8460 4.3.1, from what the handshake raised; causes are looked at."""
    for _ in range(5):
        if isinstance(error, ssl.SSLCertVerificationError):
            if error.verify_code in _EXPIRED:
                return "certificate-expired"
            return "certificate-host-mismatch" if error.verify_code in _MISNAMED else "certificate-not-trusted"
        if error is None:
            break
        error = error.__cause__
    return "validation-failure"
