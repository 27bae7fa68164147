"""Roles: a flat list of permissions each admin holds through exactly one of them. `*` is everything; there is no other pattern.

The system's roles never change. Custom ones are made, changed, retired (`can_be_assigned`) and, once nobody holds them, deleted; what
is changed counts for everybody who holds the role from their next request on. Nobody makes or touches a role that may do more than
they may themselves.
"""
