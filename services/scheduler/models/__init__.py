"""Models that algorithms decide by: pure functions of numbers, in floats."""
