"""Machines that builds and computers run in: one contract, several backends."""
