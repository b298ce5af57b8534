"""What a program with Kubernetes' Python client does. Takes the path of a kubeconfig; ends with 0 when all of it works."""

import sys

from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException

NAMESPACE = "default"
LABEL = "client=python"


def config_map(name, **data):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"client": "python"}},
        "data": data,
    }


def expect(found, wanted):
    assert found == wanted, f"found {found!r}, wanted {wanted!r}"


def refused(status, reason, call):
    try:
        call()
    except ApiException as error:
        # The dynamic client tells bytes.
        body = error.body.decode() if isinstance(error.body, bytes) else error.body
        expect((error.status, f'"reason":"{reason}"' in body.replace(" ", "")), (status, True))
    else:
        raise AssertionError(f"it should have been refused with {status} {reason}")


def pages(core):
    names, count, token = [], 0, None
    while True:
        page = core.list_namespaced_config_map(NAMESPACE, label_selector=LABEL, limit=2, _continue=token)
        names += [item.metadata.name for item in page.items]
        count, token = count + 1, page.metadata._continue
        if not token:
            return names, count


def watched(core, since, wanted):
    """The events of one object, until there are as many as wanted."""
    events = watch.Watch().stream(
        core.list_namespaced_config_map,
        NAMESPACE,
        label_selector=LABEL,
        resource_version=since,
        timeout_seconds=30,
    )
    seen = []
    for event in events:
        seen.append(f"{event['type']} {event['object'].metadata.name}")
        if len(seen) == len(wanted):
            break
    expect(seen, wanted)


def owned(made):
    """The keys of the data that each manager owns."""
    entries = made.metadata.to_dict()["managedFields"]
    fields = {f"{entry['operation']} {entry['manager']}": entry["fieldsV1"].get("f:data", {}) for entry in entries}
    return {manager: sorted(key for key in fields[manager] if key != ".") for manager in fields}


def applies(maps):
    """Server-side apply by several managers."""

    def apply(manager, force=False, **data):
        return maps.server_side_apply(
            body=config_map("applied", **data),
            name="applied",
            namespace=NAMESPACE,
            field_manager=manager,
            force_conflicts=force,
        )

    expect(owned(apply("one", a="1", b="1")), {"Apply one": ["f:a", "f:b"]})
    made = apply("two", c="2")
    expect(made.data.to_dict(), {"a": "1", "b": "1", "c": "2"})
    expect(apply("two", c="2").metadata.resourceVersion, made.metadata.resourceVersion)
    refused(409, "Conflict", lambda: apply("two", a="2", c="2"))
    made = apply("two", force=True, a="2", c="2")
    expect(made.data.to_dict(), {"a": "2", "b": "1", "c": "2"})
    expect(owned(made), {"Apply one": ["f:b"], "Apply two": ["f:a", "f:c"]})

    changed = made.to_dict()
    changed["data"]["b"] = "3"
    made = maps.replace(body=changed, namespace=NAMESPACE, field_manager="three")
    expect(owned(made), {"Apply one": [], "Apply two": ["f:a", "f:c"], "Update three": ["f:b"]})
    # What a manager no longer says goes away.
    expect(apply("two", a="2").data.to_dict(), {"a": "2", "b": "3"})


def main(kubeconfig):
    config.load_kube_config(kubeconfig)
    core = client.CoreV1Api()
    for number in range(5):
        made = core.create_namespaced_config_map(NAMESPACE, config_map(f"p{number}", a=str(number)))
        expect(made.data, {"a": str(number)})
    refused(409, "AlreadyExists", lambda: core.create_namespaced_config_map(NAMESPACE, config_map("p0")))
    expect(pages(core), ([f"p{number}" for number in range(5)], 3))
    since = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version

    maps = dynamic.DynamicClient(client.ApiClient()).resources.get(api_version="v1", kind="ConfigMap")

    def patch(body, of):
        return maps.patch(body=body, name="p1", namespace=NAMESPACE, content_type=f"application/{of}")

    patched = patch([{"op": "replace", "path": "/data/a", "value": "json"}], "json-patch+json")
    expect(patched.data.to_dict(), {"a": "json"})
    patched = patch({"data": {"a": None, "b": "merge"}}, "merge-patch+json")
    expect(patched.data.to_dict(), {"b": "merge"})
    patched = patch({"metadata": {"finalizers": ["example.com/hold"]}}, "strategic-merge-patch+json")
    expect(list(patched.metadata.finalizers), ["example.com/hold"])
    patch({"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/hold"]}}, "strategic-merge-patch+json")

    stale = core.read_namespaced_config_map("p2", NAMESPACE)
    stale.data = {"a": "newer"}
    core.replace_namespaced_config_map("p2", NAMESPACE, stale)
    refused(409, "Conflict", lambda: core.replace_namespaced_config_map("p2", NAMESPACE, stale))
    invalid = config_map("p9", a="1")
    invalid["metadata"]["labels"]["a b"] = ""
    refused(422, "Invalid", lambda: core.create_namespaced_config_map(NAMESPACE, invalid))

    core.delete_namespaced_config_map("p3", NAMESPACE)
    refused(404, "NotFound", lambda: core.read_namespaced_config_map("p3", NAMESPACE))
    watched(core, since, ["MODIFIED p1"] * 4 + ["MODIFIED p2", "DELETED p3"])
    applies(maps)
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector=LABEL)
    expect(pages(core), ([], 1))


if __name__ == "__main__":
    main(sys.argv[1])
