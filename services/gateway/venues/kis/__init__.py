"""Korea Investment & Securities as a venue: KRX, NXT, the United States."""
