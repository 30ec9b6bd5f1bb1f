"""The spectral law of the feature matrix U: edges, masses, atoms, density and transforms.

A model comes in; a `Spectrum` or transforms at points go out.
"""
