"""What the service costs; see README.md."""
