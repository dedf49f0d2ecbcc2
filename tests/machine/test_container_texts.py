"""The texts a container is made from: what they allow, and that they cannot say more."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingot.errors import MachineError, SettingsError
from ingot.machine.base_image import recipe
from ingot.machine.container import ContainerBackend, ContainerSettings
from ingot.machine.container.accounts import Accounts
from ingot.machine.container.bundle import CAPABILITIES, GuestUser, config_json, process_json
from ingot.machine.container.ids import to_guest, to_host
from ingot.machine.container.seccomp import convert_profile
from ingot.machine.container.shift import root_capability

PROFILE = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
    "syscalls": [
        {"names": ["read", "unshare", "mount", "clone", "clone3"], "action": "SCMP_ACT_ALLOW", "args": []},
        {"names": ["arm_only"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm"]}},
        {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_SYS_ADMIN"]}, "errnoRet": 1},
        {"names": ["chroot"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_CHROOT"]}},
    ],
}


def test_the_profile_is_narrowed_to_the_capabilities_and_never_allows_a_new_namespace() -> None:
    made = convert_profile(PROFILE, "x86_64", CAPABILITIES)
    allowed = {name for rule in made["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    assert allowed == {"read", "chroot", "clone"}
    (clone,) = [rule for rule in made["syscalls"] if rule["names"] == ["clone"]]
    assert clone["args"][0] == {"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    assert {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38} in made["syscalls"]
    assert (made["defaultErrnoRet"], made["architectures"]) == (38, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])


def test_a_container_mounts_nothing_of_the_host_but_its_own_caches() -> None:
    config = config_json(
        root=Path("/run/ingot/x/root"),
        namespaces={"user": Path("/u"), "network": Path("/n")},
        binds={"/root/.cache/pip": Path("/run/ingot/x/downloads/pip")},
        cgroup="/ingot/x",
        resources={},
        seccomp=None,
        label="test",
    )
    bound = [mount["source"] for mount in config["mounts"] if mount["source"].startswith("/")]
    assert bound == ["/run/ingot/x/downloads/pip"]
    kinds = {space["type"] for space in config["linux"]["namespaces"]}
    assert kinds == {"user", "network", "pid", "mount", "ipc", "uts", "cgroup"}
    assert not {"CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_MKNOD"} & set(CAPABILITIES)


def test_only_root_holds_capabilities_from_the_start() -> None:
    user = GuestUser("orgo", 1000, 1000, (27,), "/home/orgo")
    process = process_json(("id",), user, {"HOME": "/elsewhere", "A": "b"}, "/srv")
    assert process["capabilities"]["effective"] == []
    assert process["user"] == {"uid": 1000, "gid": 1000, "additionalGids": [27]}
    assert {"HOME=/elsewhere", "A=b", "USER=orgo", "LANG=C.UTF-8"} <= set(process["env"])
    assert process["args"][-2:] == ["/srv", "id"]


def test_accounts_survive_nonsense_lines() -> None:
    accounts = Accounts(
        "bad\nx:y:z\norgo:x:1000:1000::/home/orgo:/bin/sh\nbig:x:99999999:0::/:/bin/sh\n", "sudo:x:27:orgo\n:::\n"
    )
    assert accounts.user("orgo") == GuestUser("orgo", 1000, 1000, (27,), "/home/orgo")
    assert accounts.user("1000").name == "orgo"
    assert accounts.user("4242") == GuestUser("4242", 4242, 4242, (), "/")
    with pytest.raises(MachineError, match="there is no user 'big' in the machine; name one that /etc/passwd has"):
        accounts.user("big")


def test_ids_outside_of_the_range_are_refused() -> None:
    assert (to_host(0), to_host(65_535), to_guest(100_000)) == (100_000, 165_535, 0)
    for wrong in (-1, 65_536):
        with pytest.raises(ValueError, match=r"is not in 0\.\.65535"):
            to_host(wrong)
    with pytest.raises(ValueError, match=r"is not in 100000\.\.165535"):
        to_guest(0)


def test_a_file_capability_travels_without_the_namespace_it_was_set_in() -> None:
    plain = bytes.fromhex("0100000200040000000000000000000000000000")
    shifted = root_capability(plain, 100_000)
    assert shifted == bytes.fromhex("0100000300040000000000000000000000000000a0860100")
    assert root_capability(shifted, 0) == plain


def test_the_recipe_changes_with_the_certificates_and_the_mirror(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.crt"
    bundle.write_text("one")
    first = recipe(bundle, "")
    bundle.write_text("two")
    assert len({first, recipe(bundle, ""), recipe(None, ""), recipe(None, "http://mirror.invalid")}) == 4


def test_a_network_that_is_none_is_refused_with_an_example(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"allow_networks: 'lan' is not a network; write it as CIDR, such as"):
        ContainerBackend(tmp_path, ContainerSettings(allow_networks=("lan",)))
