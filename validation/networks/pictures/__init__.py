"""Pictures and report of trained networks.

They are drawn from the numbers of `validation.networks.analysis`; nothing is computed here.
"""
