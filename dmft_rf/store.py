"""Results in HDF5 files, as users import them: ``from dmft_rf.store import load, save``."""

from dmft_rf.files.results import SCHEMA, Run, describe_model, describe_rule, load, save

__all__ = ["SCHEMA", "Run", "describe_model", "describe_rule", "load", "save"]
