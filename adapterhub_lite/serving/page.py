"""The page at ``/``: one file, which loads nothing and may run nothing but itself."""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from starlette.responses import HTMLResponse


def page_response() -> HTMLResponse:
    """Return the page, under a policy that allows its own style and script alone."""
    html, policy = _page()
    headers = {"content-security-policy": policy, "referrer-policy": "no-referrer"}
    return HTMLResponse(html, headers=headers)


@cache
def _page() -> tuple[str, str]:
    html = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hash(html, 'script')}",
            f"style-src {_hash(html, 'style')}",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
    return html, policy


def _hash(html: str, tag: str) -> str:
    """Return the source expression of what stands between the tags."""
    found = re.search(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    assert found is not None, f"the page has one <{tag}>"
    digest = hashlib.sha256(found[1].encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
