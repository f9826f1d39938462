"""What lies behind an address, for who allows it: public hosts only, wherever they redirect to."""

from __future__ import annotations

import base64
import http.client
import ipaddress
import re
import socket
import ssl
import time
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

HOPS = 5
SECONDS = 60  # for one file
PART = 2**16
# Protocols of fsspec that reach the store they are named after, and nothing else.
STORES = ("s3", "gs", "gcs", "az", "abfs", "abfss", "adl", "hf", "oci", "oss", "memory")
WEB = ("http", "https")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::|://)")


class Refused(Exception):
    """An address that is not fetched, and why."""


def is_address(text: str) -> bool:
    """Whether a text is a URL, or a chain of them as fsspec has it."""
    return _ADDRESS.match(text) is not None


def struck(text: str) -> str:
    """A message without what addresses in it hold of names, passwords, keys and signatures."""
    text = re.sub(r"(\w://|^//)[^\s/@'\"]*@", r"\1", text)
    return re.sub(r"(\w://[^\s?#'\"]*)[?#][^\s'\")]*", r"\1?...", text)


def fetch(url: str, most: int, count: int | None = None, trusted: str | None = None) -> bytes:
    """What a URL answers, or its first `count` bytes.

    Args:
        trusted: a host that may be any, since whoever asks has named it.

    Raises:
        Refused: a protocol that is not known, a host that is not public, too many redirects, an
            answer that is no success or of more than `most` bytes.
        OSError, http.client.HTTPException: the network.
        ImportError: the store's package is not installed.
    """
    protocol = url.partition("://")[0].lower()
    if protocol in STORES and "::" not in url:
        return _from_store(url, most, count)
    end = time.monotonic() + SECONDS
    for _ in range(HOPS + 1):
        answer = _ask(url, most, count, end, trusted)
        if isinstance(answer, bytes):
            return answer
        url = answer
    raise Refused(f"more than {HOPS} redirects")


def _ask(
    url: str, most: int, count: int | None, end: float, trusted: str | None = None
) -> bytes | str:
    """The answer, or where it redirects to."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Refused("no address") from error
    if parts.scheme.lower() not in WEB or not host:
        raise Refused(f"'{parts.scheme}' is none of {', '.join([*WEB, *STORES])}")
    secure = parts.scheme.lower() == "https"
    port = port or (443 if secure else 80)
    connection = _Connection(host, port, host if host == trusted else public(host, port), secure)
    headers = {"User-Agent": "polymodal", "Accept-Encoding": "identity"}
    if parts.username is not None:
        told = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(told.encode()).decode()
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("GET", path, headers=headers)
        with connection.getresponse() as response:
            place = response.getheader("Location")
            if response.status in (301, 302, 303, 307, 308) and place:
                return urljoin(url, place)
            if response.status != 200:
                raise Refused(f"answer {response.status} {response.reason}")
            return _content(response, most, count, end)
    finally:
        connection.close()


def _content(response: Any, most: int, count: int | None, end: float) -> bytes:
    parts, total = [], 0
    while count is None or total < count:
        part = response.read1(PART)
        if not part:
            break
        parts.append(part)
        total += len(part)
        if total > most:
            raise Refused(f"more than {most / 2**20:,.0f} MiB")
        if time.monotonic() > end:
            raise Refused(f"not there after {SECONDS} seconds")
    return b"".join(parts)[:count]


class _Connection(http.client.HTTPConnection):
    """A connection to an address that was looked up, and checked, before: a name that is looked up
    twice can answer differently."""

    def __init__(self, host: str, port: int, address: str, secure: bool) -> None:
        super().__init__(host, port, timeout=20)
        self._address, self._secure = address, secure

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self.port), self.timeout)
        if self._secure:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host)


def public(host: str, port: int) -> str:
    """An address of a host, all of which are public; Refused otherwise."""
    found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for address in found:
        if not is_public(address):
            raise Refused("the host is not a public one")
    return found[0]


def is_public(address: str) -> bool:
    """Whether an address belongs to the Internet, and to no local or private network."""
    found = ipaddress.ip_address(address.partition("%")[0])
    inner: Any = None
    if isinstance(found, ipaddress.IPv6Address):
        # Addresses of the older kind in the newer one's clothes.
        inner = found.ipv4_mapped or found.sixtofour
        if found in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
    found = inner or found
    return bool(found.is_global and not found.is_multicast)


def _from_store(url: str, most: int, count: int | None) -> bytes:
    import fsspec

    with fsspec.open(url, "rb") as file:
        content = file.read(most + 1 if count is None else min(count, most + 1))
    if len(content) > most:
        raise Refused(f"more than {most / 2**20:,.0f} MiB")
    assert isinstance(content, bytes)
    return content
