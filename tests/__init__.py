"""The test suite; mirrors the three packages."""
