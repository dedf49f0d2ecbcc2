"""What goes into a machine: where things lie, service and health configuration, hooks, the commands of a start.

Pure text and values: nothing here touches a machine. Programs below `payload/` run inside, with Debian's Python.
"""
