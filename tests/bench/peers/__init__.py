"""Programs that run inside a peer's own environment; nothing of the house is imported here."""
