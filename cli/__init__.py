"""The door for operators: one small click group per noun."""
