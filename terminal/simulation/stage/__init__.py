"""The demo: a service, a terminal and a register as real programs, and a page on which a person acts. `make run` starts it.

Everything here talks to those programs as anybody else would: by their command lines, their wires and their sockets.
"""
