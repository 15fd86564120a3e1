"""What a line and its bridge say to the box that they run on."""
