"""What people look at: the page of a report, and contact sheets."""
