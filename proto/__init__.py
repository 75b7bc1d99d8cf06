"""Messages between till and service; the code under palmpay/ is generated (`make proto`)."""
