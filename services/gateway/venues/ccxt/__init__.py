"""Any exchange that ccxt has, as a venue. What is special about one is its file in `quirks`."""
