"""Roles: a flat list of permissions each admin holds through exactly one of them. `*` is everything; there is no other pattern."""
