"""Throwaway servers for the tests: each starts in a moment, belongs to one test run and leaves nothing behind.

Postgres, Redis, Smtp and Portal (gunicorn and `flask worker` as real processes). None of them knows pytest; the
fixtures are in tests/conftest.py. Which programs they need, and what Debian calls them, is in tools.py.
"""
