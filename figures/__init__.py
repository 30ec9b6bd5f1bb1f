"""The figures of arXiv:2505.17638 (theory part) and new ones, one module per figure.

Run as ``python -m figures``. Every figure is computed into a file of numbers and drawn from that
file alone, so that it can be redrawn without being recomputed.

    figure.py        what a figure is
    catalogue.py     the list of figures
    numbers.py       the numbers behind a figure, in HDF5
    simulations.py   finite networks of `validation`, simulated once and kept
    shared/          what several figures share
    sheet.py         all figures with their captions on one page

Theory is drawn as lines, simulations as markers with one standard error over seeds.
"""
