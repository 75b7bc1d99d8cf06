"""SD image, units, provisioning, and the service's own deployment."""
