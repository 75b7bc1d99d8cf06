"""Small programs that drive registers' libraries; each runs as a process of its own and prints one JSON object."""
