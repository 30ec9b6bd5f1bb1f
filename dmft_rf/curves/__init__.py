"""The solved model: losses at every time under every rule, and the times read off them.

A model comes in, a `Solution` goes out; curves, timescales and shares of bulks are read off it.
"""
