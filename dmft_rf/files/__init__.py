"""Results in HDF5 files and unfinished work in a file beside them: written whole or not at all.

Attributes and arrays come in and go out; what they mean is known above.
"""
