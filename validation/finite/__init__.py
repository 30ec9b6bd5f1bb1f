"""Finite nonlinear networks: the cases, their exact losses, explicit training, finished cells.

Nothing here knows the theory's predictions.
"""
