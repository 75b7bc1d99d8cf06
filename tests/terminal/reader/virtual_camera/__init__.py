"""The camera's adapter against the real picamera2 and libcamera, with a camera that is not there. `make test-camera`."""
