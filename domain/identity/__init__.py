"""Admins and how they prove who they are.

An admin signs in with a password, which opens a session (one row, for the portal's cookie and for a program's token family
alike); a second step (TOTP or a recovery code) stamps it; signing out, disabling or "sign out everywhere" revokes it. Role and
permissions are read from the database at every request, so taking one away acts on the next.
"""
