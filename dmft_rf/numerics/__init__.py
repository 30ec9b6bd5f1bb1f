"""Numerical tools that know no model: contours, panels, quadrature, values with their errors.

Arrays and numbers come in and go out.
"""
