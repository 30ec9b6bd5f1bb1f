"""The package's version, read by the build and stored with every result."""

__version__ = "1.0.0rc1"
