"""Programs that run inside a machine, with Debian's Python and nothing else."""
