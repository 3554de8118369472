"""The package's version, which is the library's (include/gavel/version.hpp)."""

__version__ = "0.1.0"
