"""Models that algorithms plan by: pure, and in floats."""
