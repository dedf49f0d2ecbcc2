"""The build-event stream's inside: raw output → ingest → frames → durable log → cursors.

It knows neither HTTP nor database, and never starts anything.
"""
