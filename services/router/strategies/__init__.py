"""One routing strategy a file: a pure function from the book and the venues' terms to child quantities."""
