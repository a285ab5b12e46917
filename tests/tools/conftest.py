"""Hypothesis without deadlines: these tests also run on machines that others keep busy."""

from hypothesis import settings

settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")
