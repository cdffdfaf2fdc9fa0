# SPDX-License-Identifier: Apache-2.0
"""Who may ask: a token, shown as ``Authorization: Bearer``, or once as ``?token=`` and from then on as a cookie.

The cookie holds a value derived from the token, so that the token itself never lies in a browser's profile; every replica
with the same token accepts it. Pure functions, used by :mod:`guard`.
"""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from flowgauge.runtime.secret import derived, same

COOKIE = "flowgauge_session"
SESSION_S = 12 * 3600
"""A cookie lasts a working day."""

_SESSION = b"flowgauge console session"


def session_of(token: str) -> str:
    """The cookie's value for ``token``; the token cannot be computed from it."""
    return derived(token, _SESSION)


def bearer(authorization: str) -> str:
    """The token of an ``Authorization`` header (RFC 6750 §2.1), or empty."""
    scheme, _, value = authorization.partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def cookie_value(header: str) -> str:
    """Our cookie of a ``Cookie`` header, or empty."""
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def set_cookie(token: str, *, secure: bool) -> str:
    """The ``Set-Cookie`` header that keeps a session. Lax: a link from a chat opens, a foreign page cannot post."""
    flags = "; Secure" if secure else ""
    return f"{COOKIE}={session_of(token)}; Path=/; Max-Age={SESSION_S}; HttpOnly; SameSite=Lax{flags}"


def allowed(token: str, authorization: str, cookie: str) -> bool:
    """Whether a request with these headers may pass."""
    return same(bearer(authorization), token) or same(cookie_value(cookie), session_of(token))


def split_token(query: str) -> tuple[str, str]:
    """(the ``token`` parameter or empty, the query without it)."""
    pairs = parse_qsl(query, keep_blank_values=True)
    token = next((value for name, value in pairs if name == "token"), "")
    return token, urlencode([pair for pair in pairs if pair[0] != "token"])


def safe_next(path: str) -> str:
    """``path`` when it leads back to this server, else its root: a login form must not send people elsewhere."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"
