"""Models of cost, pure: numbers in, numbers out. Strategies ask them; they know no book, venue or message."""
