"""What the business does, with no web framework, queue or template in sight."""
