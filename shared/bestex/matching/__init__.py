"""The simulated exchange, pure: a matching engine per market, and an exchange of many of them."""
