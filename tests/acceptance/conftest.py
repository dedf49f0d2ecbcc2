"""Servers for the acceptance tests: one for all tests that leave it as they found it, fresh ones for the others."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.documents import template
from tests.acceptance.server import Server
from tests.seeded import copy_data, toolchain_data

NewServer = Callable[..., Server]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They need root and what machines are made of, and time: the first of them make what all others copy."""
    missing = [tool for tool in ("runc", "slirp4netns", "mkfs.ext4", "nft") if shutil.which(tool) is None]
    unfit = os.geteuid() != 0 or missing
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.machine)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(600))
            if unfit:
                item.add_marker(pytest.mark.skip(reason=f"needs root and {', '.join(missing) or 'nothing else'}"))


@pytest.fixture(scope="session")
def toolchain_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("toolchains")


@pytest.fixture(scope="session")
def toolchain_seed(toolchain_home: Path) -> Path:
    """A data directory that holds the pip and the npm toolchain besides the base image."""

    def build(place: Path) -> None:
        server = Server(toolchain_home)
        server.data.symlink_to(place)
        try:
            server.start()
            _, frames = server.make(template(build={"pip": ["six"], "npm": ["is-number"]}))
            assert frames[-1].data["result"] == "ready", frames[-1].data
        finally:
            server.close()

    return asyncio.run(toolchain_data(build))


@pytest.fixture(scope="session")
def server(seed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of most tests: four builds at once, no limit that a test could meet."""
    with running(seed, tmp_path_factory.mktemp("server"), builds="4", account_builds="4") as made:
        yield made


@pytest.fixture
def new_server(seed: Path, tmp_path: Path) -> Iterator[NewServer]:
    """Starts servers of a test's own, with settings of its own."""
    made: list[Server] = []

    def start(from_seed: Path = seed, **settings: str) -> Server:
        home = tmp_path / f"server-{len(made)}"
        one = Server(home, settings)
        copy_data(from_seed, one.data)
        made.append(one)
        return one.start()

    yield start
    for one in made:
        one.close()
    for one in made:
        one.host.assert_clean()
        shutil.rmtree(one.data)


class running:  # noqa: N801  reads as what it does
    """A server with a copy of the seed, for as long as the context lasts; nothing of it is left behind it."""

    def __init__(self, seed: Path, home: Path, **settings: str) -> None:
        self._server = Server(home, settings)
        copy_data(seed, self._server.data)

    def __enter__(self) -> Server:
        return self._server.start()

    def __exit__(self, *_: object) -> None:
        self._server.close()
        self._server.host.assert_clean()
        shutil.rmtree(self._server.data)


@pytest.fixture(autouse=True)
def clean_host(request: pytest.FixtureRequest) -> Iterator[None]:
    """Behind every test that used the shared server nothing of its machines is left."""
    yield
    if "server" in request.fixturenames:
        request.getfixturevalue("server").host.assert_clean()
