"""What becomes of instances beside the requests of user agents."""
