"""The level-1 exercise: one order on a file of best quotes, by the rules of others and by honest ones."""
