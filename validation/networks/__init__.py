"""The networks that people train: memorization and generalization along real training.

The solvable model says why a diffusion model generalizes before it memorizes; this package shows
that on a small U-Net and on a residual network, trained by denoising score matching on n samples.
Run as ``python -m validation networks`` (the extra ``experiments`` brings JAX and optax).

    schedule.py                the noise schedule and the grid of the sampler
    data.py                    images on this machine, split into training, held-out and reference
    mixture.py                 the two-component Gaussian mixture, its score in closed form
    measures.py                memorized fraction, Frechet distance, both with their errors
    plan.py                    one run is one frozen Setting; the profiles are lists of them
    files.py  checkpoints.py  store.py  merge.py
                               HDF5; runs under way, runs that have ended, stores brought together
    engine.py  stopping.py     one run from checkpoint to end, and the loop that survives a kill
    workers.py  progress.py    several runs at once, each in a process of its own; progress
    nets.py  trainer.py        the networks and their training (the only modules that need JAX)
    dating.py  summary.py      from curves to training times, exponents and regions
    transfer.py                how well one run tells the best step of another with more images
    solvable.py                the random-features model with the covariance of the same data
    gather.py  gather_laws.py  gather_theory.py
                               the numbers behind the pictures
    drawing.py  draw_laws.py  pictures.py  tables.py  report.py
                               what is written down

Source of the experiments: Bonnaire, Urfin, Biroli, Mezard, arXiv:2505.17638, section 3.
"""
