"""The token of a page: where the next one begins, as a string that means nothing to who passes it on.

It has a version, what it is a token of, the sort keys of a row, and a checksum; that is a signature if a key was set.
The keys are what record_send() gives (source: utils/adt/rowtypes.c): their number, and of each its type, the number of
its bytes, and these.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode

from rowsmith.errors import PageTokenError
from rowsmith.values.dumpers import Sent

_VERSION = 1
_IDENTITY, _CHECKSUM = 8, 16
_NUMBER, _HEAD = struct.Struct("!i"), struct.Struct("!Ii")
_LONGEST = 100_000
"""Characters: more than the keys of an index can have."""
_NULL = -1
_keys: tuple[bytes, ...] = (b"",)


def sign_pages(key: str | bytes, *previous: str | bytes) -> None:
    """Sign the tokens of pages with a key from now on, so that nobody else can make one.

    Tokens signed with one of the `previous` keys are still accepted. This is for the whole process. Without it, a
    token has a checksum that everybody can compute. Raises ValueError for an empty key.
    """
    global _keys  # noqa: PLW0603 - a setting of the process, as in `logging`
    keys = [each.encode() if isinstance(each, str) else each for each in (key, *previous)]
    if not all(keys):
        raise ValueError("a key that signs pages must not be empty")
    _keys = tuple(hashlib.sha256(each).digest() for each in keys)


def identity(*facts: object) -> bytes:
    """What tells the tokens of one query and ordering from those of others."""
    return hashlib.sha256(repr(facts).encode()).digest()[:_IDENTITY]


def encode(of: bytes, keys: bytes) -> str:
    """The token for a row, by what record_send() gave for it."""
    content = bytes([_VERSION]) + of + keys
    return _text(content + _checksum(content, _keys[0]))


def decode(token: str, of: bytes, query: str) -> list[Sent | None]:
    """The sort keys of the row that a token stands for. Raises PageTokenError if it is not one of this query."""
    content = _content(token, query)
    if content[1 : 1 + _IDENTITY] != of:
        raise PageTokenError(
            f"the token is not one of a page of {query}, in this ordering and as the query is now. "
            "Begin with the first page: after=None"
        )
    try:
        return _read(content[1 + _IDENTITY :])
    except struct.error:
        raise refused(query) from None


def _content(token: str, query: str) -> bytes:
    try:
        data = urlsafe_b64decode(f"{token}{'=' * (-len(token) % 4)}".encode("ascii")) if len(token) < _LONGEST else b""
    except ValueError:
        data = b""
    content, checksum = data[:-_CHECKSUM], data[-_CHECKSUM:]
    if not content or _text(data) != token:
        raise refused(query)
    if content[0] != _VERSION:
        raise PageTokenError(
            f"{query}: the token was made by another version of rowsmith. Begin with the first page: after=None"
        )
    if not any(hmac.compare_digest(checksum, _checksum(content, key)) for key in _keys):
        raise PageTokenError(
            f"{query}: the token was changed on its way, or signed with another key. Pass what `Page.next` gave, "
            "unchanged"
        )
    return content


def refused(query: str) -> PageTokenError:
    return PageTokenError(f"{query}: this is not the token of a page. Pass what `Page.next` gave, unchanged")


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _checksum(content: bytes, key: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_CHECKSUM, key=key).digest()


def _read(record: bytes) -> list[Sent | None]:
    (count,), place = _NUMBER.unpack_from(record), _NUMBER.size
    values: list[Sent | None] = []
    for _ in range(count):
        oid, length = _HEAD.unpack_from(record, place)
        place += _HEAD.size
        values.append(None if length == _NULL else Sent(record[place : place + length], oid))
        place += max(length, 0)
    if place != len(record):
        raise struct.error
    return values
