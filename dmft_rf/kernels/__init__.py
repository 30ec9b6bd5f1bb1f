"""Compiled loops that know no model: arrays in, arrays out.

Kernels that call one another live in one module; `_jit` is the one place where numba is configured.
"""
