"""Builds of the same content join; others wait for their turn, and are told where they stand."""

from __future__ import annotations

from tests.acceptance.conftest import NewServer
from tests.acceptance.documents import fresh_name, template
from tests.acceptance.server import Server, dump, lines_of, path_of


def test_one_content_under_two_refs_is_built_once(server: Server) -> None:
    document = template("echo shared; sleep 8; echo over")
    leader = server.publish({"namespace": "default", **_named(document), "template": document})
    joiner = server.publish({"namespace": "other", **_named(document), "template": document})
    assert leader != joiner
    assert server.build(leader)["digest"] == server.build(joiner)["digest"]
    assert server.build(leader)["attempt"] == 1, "asked for twice, it is the same attempt"
    joined, led = server.follow(joiner), server.follow(leader)
    for ref, frames in ((leader, led), (joiner, joined)):
        assert frames[-1].data["result"] == "ready", dump(frames)
        assert server.status(ref)["status"] == "ready"
    assert server.status(leader)["golden_dir"] == server.status(joiner)["golden_dir"]
    assert "shared" in lines_of(led, "install", "run")
    assert "shared" not in lines_of(joined), "it has a short log of its own"
    assert "the same content is being built already: waiting for that build" in lines_of(joined)


def test_a_build_that_fails_takes_those_that_joined_with_it(server: Server) -> None:
    document = template("sleep 1; exit 5")
    leader = server.publish({"namespace": "default", **_named(document), "template": document})
    joiner = server.publish({"namespace": "other", **_named(document), "template": document})
    server.build(leader)
    server.build(joiner)
    ends = [server.follow(ref)[-1].data for ref in (leader, joiner)]
    assert [end["error"]["exit_code"] for end in ends] == [5, 5]


def test_a_cancel_of_the_leader_hands_the_build_over(server: Server) -> None:
    document = template("echo begun; sleep 4")
    leader = server.publish({"namespace": "default", **_named(document), "template": document})
    joiner = server.publish({"namespace": "other", **_named(document), "template": document})
    server.build(leader)
    with server.watch(leader) as watch:
        watch.until(line="begun")
        server.build(joiner)
        server.cancel(leader)
        assert watch.to_end()[-1].data["result"] == "cancelled"
    frames = server.follow(joiner)
    assert frames[-1].data["result"] == "ready", dump(frames)
    assert server.status(leader)["status"] in ("failed", "ready")


def test_a_cancel_of_one_that_joined_leaves_the_leader_alone(server: Server) -> None:
    document = template("echo begun; sleep 8")
    leader = server.publish({"namespace": "default", **_named(document), "template": document})
    joiner = server.publish({"namespace": "other", **_named(document), "template": document})
    server.build(leader)
    server.build(joiner)
    server.cancel(joiner)
    assert server.follow(joiner)[-1].data["result"] == "cancelled"
    assert server.follow(leader)[-1].data["result"] == "ready"


def test_those_that_wait_are_told_their_place(new_server: NewServer) -> None:
    server = new_server(builds="1")
    sleeping = {"one": 8, "two": 1, "three": 1}
    first, second, third = [server.publish(template(f"echo {word}; sleep {it}")) for word, it in sleeping.items()]
    for ref in (first, second, third):
        server.build(ref)
    with server.watch(first) as watch:
        watch.until(phase="compile")
    assert [server.status(ref)["queue_position"] for ref in (first, second, third)] == [None, 1, 2]
    with server.watch(third) as watch:
        frames = watch.to_end()
    assert frames[-1].data["result"] == "ready", dump(frames)
    places = [line for line in lines_of(frames, "publish") if "in the queue" in line]
    assert places[-1] == "place 1 in the queue: next to be built"
    assert places[0] in (
        "place 2 in the queue: 1 build ahead",
        "place 3 in the queue: 2 builds ahead",
    )
    starts = [server.attempt(ref)["started_at"] for ref in (first, second, third)]
    assert starts == sorted(starts), "first in, first out"


def test_a_full_quota_says_when_to_come_back(new_server: NewServer) -> None:
    server = new_server(builds="1", account_queue_limit="1", queue_timeout="10")
    running, waiting, refused = [server.publish(template(f"echo {word}; sleep 16")) for word in ("one", "two", "three")]
    server.build(running)
    with server.watch(running) as watch:
        watch.until(line="one")
    server.build(waiting)
    answer = server.client.post(f"/api{path_of(refused)}/build")
    assert (answer.status_code, answer.json()["code"]) == (429, "quota_full")
    assert int(answer.headers["Retry-After"]) > 0
    assert server.status(refused)["status"] == "not_built"
    auto = server.ask("POST", "/templates", 201, json=template("echo four"), params={"auto_build": "true"})
    assert auto["auto_build"] == "not_built"

    frames = server.follow(waiting)
    end = frames[-1].data
    assert (end["result"], end["phase"], end["error"]["code"]) == ("timed_out", "timeout", "queue_expired"), dump(
        frames
    )
    assert server.status(waiting)["failure"]["code"] == "queue_expired"
    assert server.follow(running)[-1].data["result"] == "ready"
    server.host.assert_clean()


def test_what_is_being_built_is_not_deleted(server: Server) -> None:
    document = template("echo begun; sleep 60")
    ref = server.publish(document)
    server.build(ref)
    with server.watch(ref) as watch:
        watch.until(line="begun")
        refused = server.client.delete(f"/api{path_of(ref)}")
        assert refused.status_code == 409
        changed = document | {"build": {"run": ["echo other"]}}
        assert server.client.post("/api/templates", json=changed).status_code == 409
        server.publish(changed, force="true")
        assert watch.to_end()[-1].data["result"] == "cancelled", "a forced publish ends the build of the old content"
    server.build(ref)
    frames = server.follow(ref)
    assert (frames[-1].attempt, frames[-1].data["result"]) == (2, "ready"), dump(frames)
    assert server.ask("DELETE", path_of(ref), 200) == {"deleted": True}
    assert server.client.get(server.events_url(ref)).status_code == 404
    server.publish(changed | {"build": {"run": ["echo a third"]}})
    assert server.build(ref)["attempt"] == 3, "numbers of attempts survive a delete"
    assert server.follow(ref)[-1].data["result"] == "ready"


def _named(document: dict[str, object]) -> dict[str, str]:
    described = document["template"]
    assert isinstance(described, dict)
    return {"name": described.get("name", fresh_name()), "version": described["version"]}
