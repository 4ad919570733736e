"""The cheapest way to take a quantity from several venues, exactly: all in integers, and with a proof or a gap."""
