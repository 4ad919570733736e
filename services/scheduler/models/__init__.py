"""The models that algorithms decide by: pure functions of what is known."""
