"""Korea Investment & Securities' Open API, as both the gateway and the collector use it."""
