"""Figures of one trial, drawn with matplotlib for tracking, registry and report.

Figures are built as objects, without pyplot: nothing reads or changes matplotlib's global state, so threads may draw.
"""
