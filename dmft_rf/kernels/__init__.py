"""Array kernels: plain arrays in, arrays out; no objects, no input or output."""
