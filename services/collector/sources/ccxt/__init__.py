"""Market data of the exchanges that ccxt speaks to."""
