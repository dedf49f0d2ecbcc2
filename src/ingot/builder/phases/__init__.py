"""The phases of a build, in their order: each a module with `PHASE` and `run(bake)`, and no state of its own."""

from ingot.builder.phases import archive, boot, install, record, snapshot
from ingot.builder.phases import compile as compile_

ALL = (compile_, boot, install, snapshot, record, archive)
