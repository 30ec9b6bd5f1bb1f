"""One BLAS thread: the matrices are small, and idle threads of a busy machine only spin."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
