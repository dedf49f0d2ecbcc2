"""archive: every layer durable in the object store, then the golden that names them. Uploads began when the layers
were made; here they are waited for.
"""

from __future__ import annotations

import asyncio

from ingot.builder.bake import Bake
from ingot.builder.plan import golden_of
from ingot.builder.request import wanted_spec
from ingot.records.event import Phase
from ingot.records.layer import Golden, LayerObject
from ingot.storage.clock import now_ms

PHASE = Phase.ARCHIVE


async def run(bake: Bake) -> None:
    await bake.say("uploading golden snapshot")
    tools = bake.tools
    objects = await asyncio.gather(
        *(tools.archive.ensure(layer, tools.layers.parts(layer.key)) for layer in bake.stack)
    )
    template, request = bake.request.template, bake.request
    spec = wanted_spec(template, request.limits)
    golden = Golden(
        key=golden_of(template, bake.stack[-1].key, spec),
        digest=template.digest,
        backend=tools.backend.name,
        spec=spec,
        layers=tuple(objects),
        document=dict(template.document),
        manifest=_completed(bake, objects),
        created_ms=now_ms(),
    )
    bake.golden = await tools.goldens.publish(golden)
    tools.layers.touch(bake.keys)
    size = sum(stored.size_bytes for stored in objects)
    await bake.say(f"golden {golden.key[:12]}: {len(objects)} layers, {size / 1e6:.1f} MB in the object store")


def _completed(bake: Bake, objects: list[LayerObject]) -> dict[str, object]:
    stored = {item.key: item for item in objects}
    layers = bake.manifest["layers"]
    assert isinstance(layers, list)
    described = [
        {**layer, "sha256": stored[layer["key"]].sha256, "archived_bytes": stored[layer["key"]].size_bytes}
        for layer in layers
    ]
    return {**bake.manifest, "layers": described, "archived_bytes": sum(item.size_bytes for item in objects)}
