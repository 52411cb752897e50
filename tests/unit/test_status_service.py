"""Which revision answers, which one takes over, and which ones go: a table of situations, each a sentence."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from raysmith.api import LLMService
from raysmith.api.common import Artifact
from raysmith.status.conditions import find, kuberay_missing
from raysmith.status.evidence import Cause, Diagnosis
from raysmith.status.service import Seen, Verdict, verdict

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
OLD = Artifact(uri="pvc://s/old", digest="sha256:" + "1" * 64)
NEW = Artifact(uri="pvc://s/new", digest="sha256:" + "2" * 64)
ANSWERING = Seen(model=OLD, desired="one", active="one", revisions={"one": {}}, answering={"one": 2})
CHANGED = replace(ANSWERING, model=NEW, desired="two")


def serve(**spec: Any) -> LLMService:
    whole = {"model": {"fineTune": {"name": "tune"}}, "access": {"anonymous": {}}, **spec}
    return LLMService.model_validate({"metadata": {"name": "chat", "namespace": "team", "uid": "1"}, "spec": whole})


def judge(obj: LLMService, seen: Seen, now: datetime = NOW) -> Verdict:
    return verdict(obj, seen, now, address="http://chat.team.svc:8000/v1")


def later(obj: LLMService, said: Verdict) -> LLMService:
    return obj.model_copy(update={"status": said.status})


def condition(said: Verdict, type_: str) -> tuple[str, str]:
    found = find(said.status.conditions, type_)
    assert found is not None
    return found.status.value, found.reason


def test_the_first_revision_is_started_and_gets_the_address_at_once_but_is_not_ready() -> None:
    said = judge(serve(), Seen(model=OLD, desired="one"))
    assert (said.start, said.point_to, set(said.keep)) == (True, "one", {"one"})
    assert condition(said, "Ready") == ("False", "Starting")
    assert said.status.url == "http://chat.team.svc:8000/v1"


def test_a_service_is_ready_when_its_pods_answer() -> None:
    said = judge(serve(replicas=2), ANSWERING)
    assert (said.status.phase, condition(said, "Ready")[0]) == ("Ready", "True")
    assert (said.status.replicas, said.status.ready_replicas, said.status.model) == (2, 2, OLD)


def test_pods_that_stop_answering_make_it_not_ready_with_the_reason() -> None:
    why = Diagnosis("EngineFailed", "The engine cannot start.", "pod", Cause.USER)
    said = judge(serve(), replace(ANSWERING, answering={}, diagnosis=why))
    assert condition(said, "Ready") == ("False", "EngineFailed")
    assert said.status.phase == "Failing"


def test_another_revision_starts_beside_the_one_that_answers() -> None:
    before = later(serve(), judge(serve(), ANSWERING))
    said = judge(before, CHANGED)
    assert (said.start, said.point_to, set(said.keep)) == (True, "one", {"one", "two"})
    assert (said.status.phase, condition(said, "Ready")[0]) == ("Upgrading", "True")
    assert (said.status.revision, said.status.pending_revision, said.status.model) == ("one", "two", OLD)


def test_it_takes_over_when_it_answers_and_the_former_one_finishes_its_requests() -> None:
    before = later(serve(), judge(serve(), ANSWERING))
    both = replace(CHANGED, revisions={"one": {}, "two": {}}, answering={"one": 2, "two": 1})
    over = judge(later(before, judge(before, CHANGED)), both)
    assert (over.point_to, set(over.keep), over.status.model) == ("two", {"one", "two"}, NEW)
    moved = replace(both, active="two")
    soon = judge(later(before, over), moved, NOW + timedelta(seconds=30))
    assert soon.keep == {"one", "two"}
    done = judge(later(before, soon), moved, NOW + timedelta(seconds=60))
    assert done.keep == {"two"}


def test_a_revision_that_is_not_ready_by_its_deadline_is_removed_and_not_tried_again() -> None:
    obj = serve(upgrade={"deadlineSeconds": 100})
    going = judge(later(obj, judge(obj, ANSWERING)), CHANGED)
    late = judge(later(obj, going), replace(CHANGED, revisions={"one": {}, "two": {}}), NOW + timedelta(seconds=100))
    assert (late.start, late.point_to, set(late.keep)) == (False, "one", {"one"})
    assert condition(late, "Progressing") == ("False", "UpgradeFailed")
    assert condition(late, "Ready")[0] == "True"
    still = judge(later(obj, late), CHANGED, NOW + timedelta(seconds=200))
    assert (still.start, still.status.failed_revision) == (False, "two")
    changed = judge(later(obj, still), replace(CHANGED, desired="three"), NOW + timedelta(seconds=200))
    assert (changed.start, changed.status.pending_revision) == (True, "three")


def test_a_reference_without_a_result_leaves_what_answers_alone() -> None:
    said = judge(serve(), replace(ANSWERING, waiting_for="tune has not finished yet.", desired=None))
    assert (said.start, said.point_to, set(said.keep)) == (False, "one", {"one"})
    assert condition(said, "Ready")[0] == "True"
    fresh = judge(serve(), Seen(waiting_for="tune has not finished yet."))
    assert (fresh.point_to, condition(fresh, "Ready")) == ("none", ("False", "WaitingForModel"))


def test_a_refused_object_leaves_what_answers_alone() -> None:
    said = judge(serve(), replace(ANSWERING, refusals=["spec.x is wrong; mend it."]))
    assert (set(said.keep), condition(said, "Accepted")) == ({"one"}, ("False", "Refused"))
    assert condition(said, "Ready")[0] == "True"


def test_no_replicas_keep_the_address_and_nothing_else() -> None:
    said = judge(serve(replicas=0), replace(ANSWERING, desired=None))
    assert (said.point_to, set(said.keep), said.status.phase) == ("none", set(), "ScaledToZero")


def test_a_revision_that_was_deleted_by_somebody_is_started_again() -> None:
    said = judge(later(serve(), judge(serve(), ANSWERING)), replace(ANSWERING, revisions={}, answering={}))
    assert (said.start, said.point_to) == (True, "one")


def test_missing_kuberay_is_a_condition() -> None:
    said = judge(serve(), Seen(model=OLD, desired="one", hindered=kuberay_missing("Ready", "RayService", "service")))
    assert condition(said, "Ready") == ("False", "KubeRayMissing")
    assert said.again == 10


def test_what_answers_goes_on_when_somebody_has_deleted_its_service() -> None:
    obj = later(serve(), judge(serve(), ANSWERING))
    for seen in (replace(CHANGED, active=None), replace(CHANGED, active=None, desired=None, waiting_for="Not yet.")):
        said = judge(obj, seen)
        assert said.point_to == "one"
        assert "one" in said.keep


def test_pods_that_answer_make_nothing_ready_while_nobody_reaches_them_at_the_address() -> None:
    said = judge(serve(replicas=2), replace(ANSWERING, reached=False))
    assert (said.status.phase, condition(said, "Ready"), said.again) == ("Starting", ("False", "AddressSilent"), 10)


def test_no_replicas_are_wanted_even_while_a_reference_leads_nowhere() -> None:
    said = judge(serve(replicas=0), replace(ANSWERING, desired=None, waiting_for="Not yet."))
    assert (said.status.phase, set(said.keep)) == ("ScaledToZero", set())
