"""Finite nonlinear networks against the theory of `dmft_rf`.

One question: are the learning curves right for the real, nonlinear network? Networks of finite
size, whose noise average is exact and not sampled, are solved at several d with the same ratios;
what they extrapolate to at d = infinity is compared with the theory. Run as
``python -m validation``.

    finite/      the exact finite network and its losses, the cases, the cells that are simulated
    compare/     d = infinity with its standard error, predictions, mutations, verdict, report
    networks/    the networks that people train (needs JAX): ``validation networks``
    attack/      a random attack on the error estimates: ``validation attack``
    benchmark/   how fast the library is, beside plain NumPy and SciPy: ``validation benchmark``
    golden.py    numerical regression of the library itself: ``validation golden``
    common/      files, pages, the look of pictures

Pure numpy and scipy but for networks/. Source of the model: Bonnaire, Urfin, Biroli, Mezard,
arXiv:2505.17638.
"""
