"""What every part of the validation stands on: files, pages, pictures, commands.

Nothing here knows what is validated; from the library comes what writes, locks and shows.
"""
