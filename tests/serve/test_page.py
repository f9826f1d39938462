"""The page at /: whole in itself, and nothing of another host in it."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from polymodal.serve import page

pytestmark = [pytest.mark.whole, pytest.mark.anyio]


async def test_the_page_asks_nobody_else_and_its_policy_allows_no_other_code(serve: Any) -> None:
    async with serve() as client:
        answer = await client.get("/")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    text = answer.text
    outside = re.findall(r"""(?:src|href)=["']?(?!data:)[^"' >]+|url\([^)]*\)|@import""", text)
    assert not [one for one in outside if "${" not in one]
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}
    for tag in ("script", "style"):
        (inner,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    # Neither is allowed by that policy.
    assert not re.search(r"\son[a-z]+=\"|\sstyle=|eval\(|innerHTML|document\.write", text)


class Ids(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [str(value) for name, value in attrs if name == "id"]


def test_what_its_script_asks_for_is_there() -> None:
    text = page.CONTENT.decode()
    parser = Ids()
    parser.feed(text)
    made = {"explain"}
    assert set(re.findall(r'\$\("(\w+)"\)', text)) <= {*parser.found, *made}
