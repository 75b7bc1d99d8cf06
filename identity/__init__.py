"""The reference identity service: whose palm it is, and whether that person may pay."""
