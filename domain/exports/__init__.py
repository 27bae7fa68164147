"""Exports: the rows of one report as a file that a finance team opens in a spreadsheet.

A report is asked for (`request`), its rows are found once, newest first, then read a few at a time in short transactions
(`reports`), so that a million of them hold up nobody. One file per report says what its columns are. What a cell may hold is
decided here; how it is written, and that no cell is ever taken for a formula, in adapters/spreadsheets.py.
"""
