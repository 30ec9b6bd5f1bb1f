"""Any quantity over any parameters, on any number of processes, kept safe from a crash.

A model and values of its parameters come in; a `Sweep`, a `Scaling` or a `PhaseDiagram` goes out.
"""
