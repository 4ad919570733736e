"""Models that algorithms rest on. Pure: numbers in, numbers out."""
