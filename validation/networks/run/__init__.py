"""Training of real networks: settings, data, trainer, several at once, and the store of runs.

`trainer` and `nets` alone need JAX, and nothing else here imports them.
"""
