"""From a frame to a canonical palm to a signature."""
