"""Simulated cells against the theory: extrapolation, verdict, mutations, real data, report.

Simulations come in from `validation.finite`, predictions from the library.
"""
