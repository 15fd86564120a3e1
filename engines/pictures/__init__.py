"""Pictures and maps as arrays: reading them, the frame's geometry, regions and scores, drawing."""
