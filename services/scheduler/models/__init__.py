"""The models that algorithms decide by: pure functions of what is known."""

"""Models that algorithms rest on. Pure: numbers in, numbers out."""
