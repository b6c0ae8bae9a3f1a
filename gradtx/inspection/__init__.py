"""Looking inside: what a transformation holds, and with which numbers it works."""
