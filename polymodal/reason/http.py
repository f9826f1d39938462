"""Requests to a server that answers JSON: patient if it is busy, clear if it is not there."""

from __future__ import annotations

import json
import random
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any

from polymodal.base.errors import UserError

# What a server says that may be otherwise in a moment.
BUSY = (408, 425, 429, 500, 502, 503, 504, 529)
# Seconds before the second try; each further one waits twice as long, up to the longest.
FIRST, LONGEST = 0.5, 60.0


class Server:
    """A server's address, and how it is asked.

    Args:
        url: up to and with /v1.
        key: sent as a bearer token; "" for none.
        timeout: seconds for one answer.
        tries: of one request.

    Attributes:
        retries: requests that were made again.
        tokens: that its answers say they have, all together; None once one does not say.
    """

    def __init__(self, url: str, *, key: str = "", timeout: float = 120, tries: int = 6) -> None:
        if not url.startswith(("http://", "https://")):
            raise UserError(
                f"'{url}' is no address of a server",
                expected="http://... or https://..., up to and with /v1",
            )
        self.url, self.timeout, self.tries = url.rstrip("/"), timeout, tries
        self.retries = 0
        self.tokens: int | None = 0
        self.headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key:
            self.headers["Authorization"] = f"Bearer {key}"

    def post(self, path: str, body: Any) -> Any:
        """The answer to a JSON body, sent to a path below the address.

        Raises:
            UserError: the server refuses, is busy or away however often it is asked, or answers
                no JSON.
        """
        data = json.dumps(body).encode()
        for left in reversed(range(self.tries)):
            request = urllib.request.Request(self.url + path, data, self.headers)
            try:
                with urllib.request.urlopen(request, timeout=self.timeout) as found:
                    return _parsed(self.url, found.read())
            except urllib.error.HTTPError as error:
                with error:
                    said = error.read(2000).decode("utf-8", "replace")
                if error.code not in BUSY or not left:
                    raise self._refused(error.code, said) from error
                wait = error.headers.get("Retry-After", "")
            except (urllib.error.URLError, TimeoutError, OSError, HTTPException) as error:
                if not left:
                    raise self._away(error) from error
                wait = ""
            self.retries += 1
            pause(self._seconds(self.tries - left - 1, wait))
        raise AssertionError("a server is asked at least once")

    def _seconds(self, tried: int, asked: str) -> float:
        """How long to wait, unless the server says; not all who wait are to come at once."""
        if asked.isdigit():
            return min(LONGEST, float(asked))
        return min(LONGEST, FIRST * 2**tried) * random.uniform(0.75, 1.25)

    def _refused(self, code: int, said: str) -> UserError:
        advice = {
            401: "set the key in the environment, or name its variable (`key`)",
            403: "ask whoever runs it for access",
            404: "check the address, which ends in /v1, and the model's name",
            429: "wait, or ask fewer at once (`parallel`)",
        }
        what = "is busy" if code in BUSY else "refuses the request"
        return UserError(
            f"The server at {self.url} {what} (HTTP {code})",
            got=" ".join(said.split())[:300] or "no explanation",
            do=advice.get(code, "look at what it says"),
        )

    def _away(self, error: Exception) -> UserError:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return UserError(
            f"The server at {self.url} does not answer",
            expected=f"an answer within {self.timeout:g} seconds",
            got=f"{type(error).__name__}: {reason}, {self.tries} times"[:300],
            do="start it, check the address, or give it longer (`timeout`)",
        )


def pause(seconds: float) -> None:
    time.sleep(seconds)


def _parsed(url: str, content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise UserError(
            f"The server at {url} answers no JSON",
            expected="chat completions, as OpenAI's API has them",
            got=content[:200].decode("utf-8", "replace"),
            do="check the address, which ends in /v1",
        ) from error
