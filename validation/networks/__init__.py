"""The networks that people train: memorization and generalization along real training.

The solvable model says why a diffusion model generalizes before it memorizes; this package shows
that on a small U-Net and on a residual network, trained by denoising score matching on n samples.
Run as ``python -m validation networks`` (the extra ``experiments`` brings JAX and optax).

    run/         settings and profiles, data, networks, training, the store of runs
    analysis/    from curves to training times, exponents, regions; the solvable model beside them
    pictures/    pictures, tables and the report
    command.py   the command

Source of the experiments: Bonnaire, Urfin, Biroli, Mezard, arXiv:2505.17638, section 3.
"""
