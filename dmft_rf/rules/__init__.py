"""Training rules as filters of an eigenvalue and a time, and the steps of a real run as times.

A rule knows nothing of a model: eigenvalues, times and a rate come in, arrays go out.
"""
