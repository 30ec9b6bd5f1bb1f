"""From runs to numbers: training times, exponents, regions, and the solvable model beside them.

Runs come in from `validation.networks.run`; nothing is drawn.
"""
