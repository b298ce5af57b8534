"""Helm, by its own library: a chart with a definition, an object of it and a hook. Takes the path of a kubeconfig; ends
with 0 when all of it works."""

import os
import sys

import helm_python
from client import expect, refused
from kubernetes import client, config

CHART = os.path.join(os.path.dirname(__file__), "chart")
CART = ("helm.acme.dev", "v1", "default", "carts", "shop")


def main(kubeconfig):
    config.load_kube_config(kubeconfig)
    core, custom = client.CoreV1Api(), client.CustomObjectsApi()

    def color():
        data = core.read_namespaced_config_map("shop", "default").data
        expect((data["served"], data["found"]), ("true", "default"))
        return data["color"]

    with helm_python.Config(namespace="default", kubeconfig_path=kubeconfig) as helm:
        release = helm.install(CHART, "shop", {}, wait="watcher", timeout=60)
        expect((release["revision"], release["status"], color()), (1, "deployed", "red"))
        expect(custom.get_namespaced_custom_object(*CART)["spec"], {"size": 1})
        helm.upgrade(CHART, "shop", {"color": "blue"})
        expect(color(), "blue")
        core.read_namespaced_secret("shop-blue", "default")
        expect([entry["status"] for entry in helm.history("shop")], ["superseded", "deployed"])
        helm.rollback("shop", version=1)
        expect(color(), "red")
        expect([(entry["name"], entry["revision"]) for entry in helm.list()], [("shop", 3)])
        helm.uninstall("shop")
    refused(404, "NotFound", lambda: core.read_namespaced_config_map("shop", "default"))
    refused(404, "NotFound", lambda: custom.get_namespaced_custom_object(*CART))


if __name__ == "__main__":
    main(sys.argv[1])
