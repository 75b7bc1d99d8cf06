"""A hand, a reader and a register that are not there. Never reached unless the configuration names it."""
