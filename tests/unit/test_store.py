"""What the watches and our own writes showed: never an older version over a newer one."""

from typing import Any

from raysmith.store import Key, Store, holds, parent_of, slim

CHILD = {
    "app.kubernetes.io/managed-by": "raysmith",
    "app.kubernetes.io/component": "llmfinetune",
    "app.kubernetes.io/instance": "tune",
}
TUNE = Key("LLMFineTune", "n", "tune")


def thing(kind: str = "Job", *, version: int = 1, uid: str = "u", labels: dict[str, str] | None = None) -> dict[str, Any]:
    metadata = {"name": "thing", "namespace": "n", "uid": uid, "resourceVersion": str(version), "labels": labels or {}}
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": metadata,
        "spec": {"template": {}, "containers": []},
        "status": {"seen": version},
    }


def test_a_watch_that_lags_behind_does_not_undo_what_a_write_said() -> None:
    store = Store()
    assert store.put(thing(version=10))
    assert not store.put(thing(version=9))
    found = store.get(Key("Job", "n", "thing"))
    assert found is not None
    assert found["status"] == {"seen": 10}


def test_a_new_object_of_the_same_name_replaces_the_old_one_and_outlives_its_deletion() -> None:
    store = Store()
    store.put(thing(version=10, uid="old"))
    store.put(thing(version=5, uid="new"))
    store.remove(Key("Job", "n", "thing"), "old")
    found = store.get(Key("Job", "n", "thing"))
    assert found is not None
    assert found["metadata"]["uid"] == "new"


def test_children_are_found_by_what_their_labels_say() -> None:
    store = Store()
    store.put(thing(labels=CHILD))
    store.put(thing("Pod"))
    assert [child["kind"] for child in store.children(TUNE, "Job")] == ["Job"]
    assert store.children(TUNE, "Pod") == []
    store.remove(Key("Job", "n", "thing"))
    assert store.children(TUNE, "Job") == []


def test_a_label_that_only_looks_like_ours_makes_no_child() -> None:
    assert parent_of(thing(labels=CHILD | {"app.kubernetes.io/managed-by": "helm"})) is None
    assert parent_of(thing("LLMFineTune", labels=CHILD)) is None


def test_what_nobody_reads_is_not_kept() -> None:
    store = Store()
    store.put(thing())
    found = store.get(Key("Job", "n", "thing"))
    assert found is not None
    assert found["spec"] == {}


def test_of_a_pods_containers_what_they_ask_for_is_kept_for_explanations() -> None:
    store, pod = Store(), thing("Pod")
    claim = {"name": "v", "persistentVolumeClaim": {"claimName": "store"}}
    pod["spec"] = {
        "nodeName": "n1",
        "volumes": [claim, {"name": "e", "emptyDir": {}}],
        "containers": [{"name": "ray", "image": "x", "resources": {"requests": {"cpu": "8"}}}],
    }
    store.put(pod)
    found = store.get(Key("Pod", "n", "thing"))
    assert found is not None
    assert found["spec"] == {
        "nodeName": "n1",
        "volumes": [claim],
        "containers": [{"name": "ray", "resources": {"requests": {"cpu": "8"}}}],
    }


def test_who_names_a_fine_tune_is_found_until_it_names_another_or_goes() -> None:
    def run(name: str, base: str, version: int) -> dict[str, Any]:
        spec = {"model": {"fineTune": {"name": base}}}
        metadata = {"name": name, "namespace": "n", "uid": name, "resourceVersion": str(version)}
        return {"apiVersion": "raysmith.io/v1alpha1", "kind": "LLMFineTune", "metadata": metadata, "spec": spec}

    store, second = Store(), Key("LLMFineTune", "n", "second")
    store.put(run("second", "tune", 1))
    assert store.dependents(TUNE) == [second]
    store.put(run("second", "other", 2))
    assert (store.dependents(TUNE), store.dependents(TUNE._replace(name="other"))) == ([], [second])
    store.remove(second)
    assert store.dependents(TUNE._replace(name="other")) == []


def test_the_echo_of_a_write_is_no_news() -> None:
    store = Store()
    assert store.put(thing(version=10))
    assert not store.put(thing(version=10))
    assert store.put(thing(version=10, uid="another"))


def test_what_others_add_is_no_drift_and_what_they_change_is() -> None:
    wanted = {"kind": "Role", "metadata": {"name": "run"}, "rules": [{"verbs": ["patch"]}]}
    there = slim({**wanted, "metadata": {"name": "run", "uid": "u", "labels": {"team": "a"}}})
    assert holds(there, wanted)
    assert not holds(there, {**wanted, "rules": [{"verbs": ["get"]}]})
    assert not holds({**there, "rules": [*wanted["rules"], {"verbs": ["*"]}]}, wanted)


def test_a_label_more_in_a_selector_is_drift_because_then_it_selects_nothing() -> None:
    wanted = {"kind": "Service", "metadata": {"name": "s"}, "spec": {"selector": {"app": "a"}, "ports": [{"port": 8000}]}}
    assert holds({**wanted, "spec": {**wanted["spec"], "clusterIP": "10.0.0.1"}}, wanted)  # type: ignore[dict-item]
    assert not holds({**wanted, "spec": {**wanted["spec"], "selector": {"app": "a", "b": "c"}}}, wanted)  # type: ignore[dict-item]


def test_what_belonged_to_a_former_object_of_the_name_is_no_child() -> None:
    store, job = Store(), thing(labels=CHILD)
    store.put(thing("LLMFineTune", uid="new") | {"metadata": {"name": "tune", "namespace": "n", "uid": "new"}, "spec": {}})
    job["metadata"]["ownerReferences"] = [{"kind": "LLMFineTune", "name": "tune", "uid": "old"}]
    store.put(job)
    assert store.children(TUNE, "Job") == []
    job["metadata"] |= {"resourceVersion": "2", "ownerReferences": [{"kind": "LLMFineTune", "name": "tune", "uid": "new"}]}
    store.put(job)
    assert len(store.children(TUNE, "Job")) == 1
