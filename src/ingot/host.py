"""What this host is to a server: what its machines are made of, and what it offers for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ingot.errors import HostError
from ingot.machine.container.backend import ContainerBackend, ContainerSettings
from ingot.machine.contract import Backend, Finding
from ingot.machine.qemu import QemuBackend, QemuSettings
from ingot.machine.qemu.findings import try_kvm
from ingot.open_files import enough_for, hard_limit, needed_for
from ingot.settings import Settings, load_settings


@dataclass(frozen=True, slots=True)
class Chosen:
    """What machines are made of here, and why, in words."""

    backend: Backend
    reason: str


async def choose_backend(settings: Settings) -> Chosen:
    """The backend that `machine` names. `auto`: virtual machines where KVM works, else containers where the host can
    make them, else emulated virtual machines, which need nothing of the host."""
    ca_bundle = settings.ca_bundle if settings.host_ca else None
    containers = ContainerBackend(
        settings.data_dir / "machines",
        ContainerSettings(ca_bundle=ca_bundle, allow_networks=settings.allow_networks, mirror=settings.mirror),
    )
    if settings.machine == "container":
        return Chosen(containers, "as the settings say")
    kvm = await try_kvm()
    accelerator = "kvm" if kvm.works else "tcg"
    wanted = QemuSettings(accelerator, ca_bundle, settings.mirror, settings.allow_networks)
    machines = QemuBackend(settings.data_dir / "qemu", wanted)
    if settings.machine == "qemu":
        return Chosen(machines, f"as the settings say; {kvm.detail}")
    if kvm.works:
        return Chosen(machines, kvm.detail)
    missing = [finding for finding in await containers.findings() if finding.needed and not finding.ok]
    if not missing:
        return Chosen(containers, f"no KVM: {kvm.detail}")
    why = "; ".join(f"{finding.name}: {finding.detail}" for finding in missing)
    return Chosen(machines, f"emulated, which is slow, since there is no KVM ({kvm.detail}) and no containers ({why})")


async def check_host(backend: Backend) -> None:
    """Raises HostError when this host cannot run its machines."""
    missing = [finding for finding in await backend.findings() if finding.needed and not finding.ok]
    if missing:
        what = "; ".join(f"{finding.name}: {finding.detail}" for finding in missing)
        remedy = missing[0].remedy
        raise HostError(f"this host cannot run {backend.name} machines: {what}", hint=remedy or "see `ingot doctor`")


async def local_findings() -> Sequence[Finding]:
    """What this host offers for machines, without a server."""
    settings, _ = load_settings()
    chosen = await choose_backend(settings)
    made_by = Finding("machines", True, f"{chosen.backend.name}: {chosen.reason}")
    try:
        return [made_by, *await chosen.backend.findings(), find_open_files(settings)]
    finally:
        await chosen.backend.aclose()


def find_open_files(settings: Settings) -> Finding:
    """Whether this process may open what its event streams need."""
    limit, needed = hard_limit(), needed_for(settings.stream_limit)
    if limit >= needed:
        return Finding("open files", True, f"{limit}: enough for {settings.stream_limit} event streams at once")
    detail = f"{limit}: event streams are limited to {enough_for(limit)} at once, not {settings.stream_limit}"
    remedy = f"ulimit -n {needed}, or LimitNOFILE={needed} of its unit"
    return Finding("open files", False, detail, remedy, needed=False)
