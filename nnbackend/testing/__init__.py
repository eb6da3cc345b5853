"""Tools for testing: for this library and for the layers of its users."""
