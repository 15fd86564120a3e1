"""What every command and every room may use: errors, files, line files, and how a command runs and ends."""
