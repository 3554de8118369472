"""What the toolkit raises when it cannot go on. Each is also the library's own exception of that kind."""

from __future__ import annotations

from ..errors import CorruptBundle, InvalidArgument, IOFailure, Unsupported


class ToolkitError(InvalidArgument):
    """The message says what, where, and what to do."""


class UnsupportedError(Unsupported, ToolkitError):
    """Well-formed, but not something Gavel exports."""


class BundleExistsError(ToolkitError):
    """The destination is already there and was not to be replaced."""


class CorruptBundleError(CorruptBundle, ToolkitError):
    """A bundle that contradicts its manifest or itself."""


class WriteError(IOFailure, ToolkitError):
    """A full disk, or no right to write."""


class DownloadError(IOFailure, ToolkitError):
    """No source gave the file, or what came is not what was promised."""
