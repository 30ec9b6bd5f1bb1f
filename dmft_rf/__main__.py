"""``python -m dmft_rf`` is the command ``dmft-rf``."""

from dmft_rf.cli import main

main()
