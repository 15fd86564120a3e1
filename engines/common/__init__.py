"""What every room may use: errors, pictures, the frame's geometry, files, and what the three commands share."""
