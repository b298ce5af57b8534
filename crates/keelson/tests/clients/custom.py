"""Custom resources by Kubernetes' Python client. Takes the path of a kubeconfig; ends with 0 when all of it works."""

import sys
import threading

from client import expect, refused
from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException

GROUP, VERSION, PLURAL, NAMESPACE = "python.acme.dev", "v1", "gizmos", "default"
WHERE = (GROUP, VERSION, NAMESPACE, PLURAL)

SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["color"],
            "properties": {
                "color": {"type": "string", "enum": ["red", "green"]},
                "replicas": {"type": "integer", "default": 1},
            },
        },
        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "phase": {"type": "string"}}},
    },
}
DEFINITION = {
    "metadata": {"name": f"{PLURAL}.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": PLURAL, "singular": "gizmo", "kind": "Gizmo", "listKind": "GizmoList"},
        "versions": [
            {
                "name": VERSION,
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": SCHEMA},
                "selectableFields": [{"jsonPath": ".spec.color"}],
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                },
            }
        ],
    },
}


def gizmo(name, **spec):
    metadata = {"name": name, "labels": {"client": "python"}}
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Gizmo", "metadata": metadata, "spec": spec}


def define():
    definitions = client.ApiextensionsV1Api()
    definitions.create_custom_resource_definition(DEFINITION)
    events = watch.Watch().stream(
        definitions.list_custom_resource_definition,
        field_selector=f"metadata.name={PLURAL}.{GROUP}",
        timeout_seconds=30,
    )
    for event in events:
        conditions = event["object"].status.conditions or []
        if any(of.type == "Established" and of.status == "True" for of in conditions):
            return definitions
    raise AssertionError("the definition is not established")


class Informer:
    """Keeps a copy: lists, watches on from there, and lists again when it is told that this is too long ago."""

    def __init__(self, api):
        self.api, self.since = api, None
        self.copy, self.changed, self.stopped = {}, threading.Condition(), False
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while not self.stopped:
            try:
                if self.since is None:
                    self.list()
                self.watch()
            except ApiException as error:
                expect(error.status, 410)
                self.since = None

    def list(self):
        page = self.api.list_namespaced_custom_object(*WHERE)
        with self.changed:
            self.copy = {item["metadata"]["name"]: item for item in page["items"]}
            self.since = page["metadata"]["resourceVersion"]
            self.changed.notify_all()

    def watch(self):
        stream = watch.Watch().stream(
            self.api.list_namespaced_custom_object,
            *WHERE,
            resource_version=self.since,
            allow_watch_bookmarks=True,
            timeout_seconds=1,
        )
        for event in stream:
            object = event["object"]
            with self.changed:
                self.since = object["metadata"]["resourceVersion"]
                if event["type"] == "DELETED":
                    self.copy.pop(object["metadata"]["name"])
                elif event["type"] != "BOOKMARK":
                    self.copy[object["metadata"]["name"]] = object
                self.changed.notify_all()

    def until(self, wanted):
        def colors():
            return {name: item["spec"]["color"] for name, item in self.copy.items()}

        with self.changed:
            assert self.changed.wait_for(lambda: colors() == wanted, timeout=30), f"{colors()}, wanted {wanted}"


def main(kubeconfig):
    config.load_kube_config(kubeconfig)
    definitions = define()
    api = client.CustomObjectsApi()
    informer = Informer(api)
    made = api.create_namespaced_custom_object(*WHERE, gizmo("a", color="red"))
    expect(made["spec"], {"color": "red", "replicas": 1})
    informer.until({"a": "red"})
    refused(422, "Invalid", lambda: api.create_namespaced_custom_object(*WHERE, gizmo("b", color="blue")))
    refused(409, "AlreadyExists", lambda: api.create_namespaced_custom_object(*WHERE, gizmo("a", color="red")))
    strict = {"field_validation": "Strict"}
    unknown = gizmo("b", color="red", colour="red")
    refused(400, "BadRequest", lambda: api.create_namespaced_custom_object(*WHERE, unknown, **strict))

    patched = api.patch_namespaced_custom_object(*WHERE, "a", {"spec": {"color": "green"}})
    expect(patched["metadata"]["generation"], 2)
    informer.until({"a": "green"})
    status = {"status": {"phase": "Ready", "replicas": 1}, "spec": {"color": "red"}}
    patched = api.patch_namespaced_custom_object_status(*WHERE, "a", status)
    expect((patched["status"]["phase"], patched["spec"]["color"]), ("Ready", "green"))
    scale = api.patch_namespaced_custom_object_scale(*WHERE, "a", {"spec": {"replicas": 4}})
    expect((scale["kind"], scale["spec"], scale["status"]), ("Scale", {"replicas": 4}, {"replicas": 1}))
    stale = api.get_namespaced_custom_object(*WHERE, "a")
    api.replace_namespaced_custom_object(*WHERE, "a", {**stale, "spec": {"color": "red"}})
    refused(409, "Conflict", lambda: api.replace_namespaced_custom_object(*WHERE, "a", stale))

    gizmos = dynamic.DynamicClient(client.ApiClient()).resources.get(api_version=f"{GROUP}/{VERSION}", kind="Gizmo")
    expect((gizmos.namespaced, sorted(gizmos.subresources)), (True, ["scale", "status"]))
    applied = gizmos.server_side_apply(
        body=gizmo("c", color="green"), name="c", namespace=NAMESPACE, field_manager="python"
    )
    expect(applied.spec.to_dict(), {"color": "green", "replicas": 1})
    names = [item.metadata.name for item in gizmos.get(namespace=NAMESPACE, field_selector="spec.color=green").items]
    expect(names, ["c"])
    informer.until({"a": "red", "c": "green"})
    api.delete_collection_namespaced_custom_object(*WHERE, label_selector="client=python")
    informer.until({})
    informer.stopped = True

    definitions.delete_custom_resource_definition(f"{PLURAL}.{GROUP}")
    events = watch.Watch().stream(definitions.list_custom_resource_definition, timeout_seconds=30)
    assert any(event["type"] == "DELETED" for event in events), "the definition goes"
    refused(404, "NotFound", lambda: api.list_namespaced_custom_object(*WHERE))


if __name__ == "__main__":
    main(sys.argv[1])
