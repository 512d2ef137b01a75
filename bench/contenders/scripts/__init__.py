"""What runs in a process of its own, with the Python that has its library."""
