"""From samples in a file to a covariance.

Files come in, in blocks of rows and never as a whole; a `Covariance` goes out.
"""
