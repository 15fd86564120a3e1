"""The gauge study: taking parts again and again, and what that says of the inspection as a gauge."""
