"""Finite nonlinear networks against the theory of `dmft_rf`.

One question: are the learning curves right for the real, nonlinear network? Networks of finite
size, whose noise average is exact and not sampled, are solved at several d with the same ratios;
what they extrapolate to at d = infinity is compared with the theory. Run as
``python -m validation``.

    network.py  hermite.py     the exact finite network: U, V and their population versions
    losses.py                  its losses at every training time, by one eigendecomposition
    training.py                training as it is run in practice, step by step
    cases.py  imagery.py       what is simulated: the grid of cases and the real data
    store.py  runner.py        cells of work, finished one by one, never lost
    extrapolate.py  compare.py d = infinity with its standard error, and the verdict
    theory.py  mutate.py       the predictions, and predictions that are wrong on purpose
    pictures.py  report.py     what is written down
    golden.py                  numerical regression of the library itself
    networks/                  the networks that people train (needs JAX): ``validation networks``
    benchmark/                 how fast the library is, beside plain NumPy and SciPy

Pure numpy and scipy but for networks/. Source of the model: Bonnaire, Urfin, Biroli, Mezard,
arXiv:2505.17638.
"""
