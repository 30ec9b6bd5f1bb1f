"""What several figures share: learning curves and scaling laws, with their numbers and markers.

The look is that of `validation.common.style`.
"""
