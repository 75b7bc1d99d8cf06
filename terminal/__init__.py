"""The app on the Pi: a reader of palms between a cash register and an identity service."""
