"""What developers and operators run beside the service."""
