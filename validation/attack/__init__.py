"""A random attack on the error estimates of the library: drawn models and what is asked of them.

Beside the library only `validation.common` comes in.
"""
