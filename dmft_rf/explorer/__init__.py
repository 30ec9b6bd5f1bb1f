"""A local page on which sliders move and the exact curves follow: ``dmft-rf explore``.

It is a client of the package like any script of a user: it imports public names only. What a page
shows is a `state.State`; what is computed for it is in `answers`; Panel draws it in `page`.
"""
