"""How fast the library is, beside what one would write without it.

    timing.py              best of several repeats, process and wall time, side by side
    plain.py  dense.py     the same formulas with scipy.optimize.root; one finite draw
    work.py  fresh.py      what is measured, in this process and in fresh ones
    costs.py  operations.py  against atoms, times and nodes; against the count of operations
    report.py              the tables, and the picture
    command.py             ``python -m validation benchmark``

Nothing here is a test: machines differ. Tests check that the routes agree.
"""
