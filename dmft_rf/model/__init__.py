"""What the user states: data, activation, diffusion time, sizes; frozen, checked, hashable.

Nothing here is solved: numbers come in, and only what follows from them at once goes out.
"""
