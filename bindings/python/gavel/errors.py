"""What Gavel raises: one exception class per status of the C ABI, each also the built-in one it is a kind of."""

from __future__ import annotations


class GavelError(Exception):
    """Base of all errors that come from Gavel. ``code`` is the status, ``name`` its written form."""

    code = 0
    name = "error"


class InvalidArgument(GavelError, ValueError):
    """An option, a text, or a call out of order."""

    code, name = 1, "invalid_argument"


class NotFound(GavelError, FileNotFoundError):
    """A file, a tensor, a prompt or a device that is not there."""

    code, name = 2, "not_found"


class CorruptBundle(GavelError, ValueError):
    """A bundle that contradicts its manifest or itself."""

    code, name = 3, "corrupt_bundle"


class Unsupported(GavelError, NotImplementedError):
    """Well-formed, but not something this build can do."""

    code, name = 4, "unsupported"


class OutOfMemory(GavelError, MemoryError):
    """An allocation failed; the objects stay usable."""

    code, name = 5, "out_of_memory"


class Cancelled(GavelError):
    """A ``Cancel``, a timeout or a stream callback ended the call."""

    code, name = 6, "cancelled"


class DeviceError(GavelError, RuntimeError):
    """The accelerator is missing or failed."""

    code, name = 7, "device"


class InternalError(GavelError, RuntimeError):
    """A defect in Gavel or its libraries."""

    code, name = 8, "internal"


class IOFailure(GavelError, OSError):
    """Reading or writing failed: a full disk, missing rights."""

    code, name = 9, "io"


BY_CODE: dict[int, type[GavelError]] = {
    error.code: error
    for error in (
        InvalidArgument,
        NotFound,
        CorruptBundle,
        Unsupported,
        OutOfMemory,
        Cancelled,
        DeviceError,
        InternalError,
        IOFailure,
    )
}
