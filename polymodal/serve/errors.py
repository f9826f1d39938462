"""What is answered instead of an answer, in the one shape that clients of this protocol read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# Status -> the type of an error that has it.
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
}


class Refused(Exception):
    """A request that is not answered.

    Args:
        status: of HTTP.
        message: what is wrong, and what would be right; nothing that a decoder says of a file.
        param: the part of the request that is wrong, such as "rows.0.price".
        code: the same mistake has the same code.
        after: seconds after which to try again.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.after = after

    @property
    def headers(self) -> dict[str, str]:
        found = {} if self.after is None else {"retry-after": str(max(1, self.after))}
        if self.status == 401:
            # A browser then asks for the key, as a password, and keeps it.
            found["www-authenticate"] = 'Basic realm="polymodal", charset="UTF-8"'
        return found

    def body(self) -> bytes:
        return json.dumps(
            {
                "error": {
                    "message": self.message,
                    "type": TYPES.get(self.status, "invalid_request_error"),
                    "param": self.param,
                    "code": self.code,
                }
            },
            ensure_ascii=False,
        ).encode("utf-8", "replace")

    def to_json(self) -> dict[str, Any]:
        """For the wire between processes."""
        return {
            "status": self.status,
            "message": self.message,
            "param": self.param,
            "code": self.code,
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Refused:
        return cls(told["status"], told["message"], param=told["param"], code=told["code"])
