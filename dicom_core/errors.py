"""What a transaction may raise, each with the HTTP status it becomes (PS3.18 8.5).

    TransactionError
    ├── BadRequest             400
    ├── Unauthorized           401
    ├── Forbidden              403
    ├── ResourceNotFound       404
    ├── NotAcceptable          406
    ├── ResourceGone           410
    ├── PayloadTooLarge        413
    ├── UnsupportedMediaType   415
    ├── RangeNotSatisfiable    416
    ├── StorageUnavailable     503
    └── AuthenticationUnavailable 503

The failure of one instance of a Store is data (`FailureReason`), never an exception. The text of an error is
sent to the user agent: it says what was wrong and where, and holds no attribute values (patient data).
"""

from __future__ import annotations

from typing import ClassVar


def described(error: BaseException) -> str:
    """Type and origin of an unexpected error, for the log; its text may hold patient data and is left out."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = []
    at = error.__traceback__
    while at is not None:
        frames.append(f"{at.tb_frame.f_code.co_filename}:{at.tb_lineno}")
        at = at.tb_next
    return f"{type(error).__name__} at {' < '.join(reversed(frames))}"


class TransactionError(Exception):
    """A transaction that ends in an error status; its text is the body of the answer."""

    status: ClassVar[int]

    @property
    def headers(self) -> dict[str, str]:
        """Header fields that belong to the answer beside its text."""
        return {}


class BadRequest(TransactionError):
    """The syntax of the path, a header, a parameter or the payload is wrong."""

    status = 400


class Unauthorized(TransactionError):
    """Who asks has not proved who they are; the challenge says how to (RFC 9110 11.6.1)."""

    status = 401

    def __init__(self, message: str, challenge: str) -> None:
        super().__init__(message)
        self.challenge = challenge

    @property
    def headers(self) -> dict[str, str]:
        """What the user agent needs for another attempt."""
        return {"WWW-Authenticate": self.challenge}


class Forbidden(Unauthorized):
    """Who asks is known, and may not do this; the challenge names what would be needed."""

    status = 403


class ResourceNotFound(TransactionError):
    """The Target Resource does not exist."""

    status = 404


class NotAcceptable(TransactionError):
    """None of the Acceptable Media Types can be given (PS3.18 8.7.8.1)."""

    status = 406


class ResourceGone(TransactionError):
    """The Target Resource was deleted, and the service still remembers it."""

    status = 410


class PayloadTooLarge(TransactionError):
    """The request is larger than this service takes."""

    status = 413


class UnsupportedMediaType(TransactionError):
    """The Content-Type of a request is not one that the transaction takes."""

    status = 415


class RangeNotSatisfiable(TransactionError):
    """The Range lies outside of the representation (RFC 9110 15.5.17)."""

    status = 416

    def __init__(self, length: int) -> None:
        super().__init__(f"Range: the representation has {length} bytes")
        self.length = length

    @property
    def headers(self) -> dict[str, str]:
        """The complete length, so that the user agent can ask again."""
        return {"Content-Range": f"bytes */{self.length}"}


class StorageUnavailable(TransactionError):
    """An adapter could not reach its service, or lost too many races; a repetition finds out, and does no harm."""

    status = 503

    def __init__(self, message: str, *, retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """When to try again, in seconds."""
        return {"Retry-After": str(self.retry_after)}


class AuthenticationUnavailable(TransactionError):
    """Nobody can be told from anybody else: a setting is missing, or the issuer of tokens does not answer."""

    status = 503

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """When to try again, in seconds, if that may help."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
