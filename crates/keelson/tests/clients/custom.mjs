// Custom resources by Kubernetes' JavaScript client. Takes the path of a kubeconfig; ends with 0 when all of it works.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

// The client is installed outside the checkout, where NODE_PATH says.
const require = createRequire(`${process.env.NODE_PATH}/`);
const { ApiextensionsV1Api, CustomObjectsApi, KubeConfig, KubernetesObjectApi, PatchStrategy, makeInformer, setHeaderOptions } =
  require("@kubernetes/client-node");

const [group, version, plural, namespace] = ["javascript.acme.dev", "v1", "gizmos", "default"];
const name = `${plural}.${group}`;
const where = { group, version, plural, namespace };

const schema = {
  type: "object",
  properties: {
    spec: {
      type: "object",
      properties: { color: { type: "string" }, size: { type: "integer", minimum: 1, _default: 1 } },
      x_kubernetes_validations: [{ rule: "!has(self.color) || self.color != 'black'", message: "no black" }],
    },
    status: { type: "object", x_kubernetes_preserve_unknown_fields: true },
  },
};
const definition = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name },
  spec: {
    group,
    scope: "Namespaced",
    names: { plural, singular: "gizmo", kind: "Gizmo" },
    versions: [
      { name: version, served: true, storage: true, subresources: { status: {} }, schema: { openAPIV3Schema: schema } },
    ],
  },
};
const gizmo = (name, spec) => ({
  apiVersion: `${group}/${version}`,
  kind: "Gizmo",
  metadata: { name, namespace, labels: { client: "javascript" } },
  spec,
});

const kubeconfig = new KubeConfig();
kubeconfig.loadFromFile(process.argv[2]);
const definitions = kubeconfig.makeApiClient(ApiextensionsV1Api);
const custom = kubeconfig.makeApiClient(CustomObjectsApi);

async function until(what, look) {
  for (let tries = 0; tries < 600; tries++) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`never: ${what}`);
}

const refused = (code, call) => assert.rejects(call, (error) => error.code === code);

await definitions.createCustomResourceDefinition({ body: definition });
await until("the definition is established", async () => {
  const { status } = await definitions.readCustomResourceDefinition({ name });
  return status?.conditions?.some(({ type, status }) => type === "Established" && status === "True");
});

const informer = makeInformer(kubeconfig, `/apis/${group}/${version}/namespaces/${namespace}/${plural}`, () =>
  custom.listNamespacedCustomObject(where),
);
const seen = [];
for (const event of ["add", "update", "delete"]) {
  informer.on(event, (object) => seen.push(`${event} ${object.metadata.name}`));
}
let failure;
informer.on("error", (error) => (failure = error));
await informer.start();

const made = await custom.createNamespacedCustomObject({ ...where, body: gizmo("a", { color: "red" }) });
assert.deepEqual(made.spec, { color: "red", size: 1 });
await until("the informer adds", () => seen.includes("add a"));
await refused(422, () => custom.createNamespacedCustomObject({ ...where, body: gizmo("b", { color: "black" }) }));
await refused(422, () => custom.createNamespacedCustomObject({ ...where, body: gizmo("b", { size: 0 }) }));

const patch = (body, strategy, method = "patchNamespacedCustomObject") =>
  custom[method]({ ...where, name: "a", body, fieldManager: "javascript" }, setHeaderOptions("Content-Type", strategy));
let patched = await patch([{ op: "replace", path: "/spec/size", value: 2 }], PatchStrategy.JsonPatch);
assert.deepEqual(patched.spec, { color: "red", size: 2 });
patched = await patch({ spec: { color: null } }, PatchStrategy.MergePatch);
assert.deepEqual(patched.spec, { size: 2 });
await refused(415, () => patch({ spec: {} }, PatchStrategy.StrategicMergePatch));
patched = await patch({ status: { ready: true } }, PatchStrategy.MergePatch, "patchNamespacedCustomObjectStatus");
assert.deepEqual([patched.status, patched.metadata.generation], [{ ready: true }, 3]);
await until("the informer updates", () => seen.filter((line) => line === "update a").length === 3);
assert.deepEqual(informer.get("a", namespace).status, { ready: true });

// The client for objects of any kind, which asks discovery.
const objects = KubernetesObjectApi.makeApiClient(kubeconfig);
const applied = await objects.patch(gizmo("b", { color: "blue" }), undefined, undefined, "javascript", true, PatchStrategy.ServerSideApply);
assert.equal(applied.metadata.managedFields[0].operation, "Apply");
const listed = await objects.list(`${group}/${version}`, "Gizmo", namespace);
assert.deepEqual(listed.items.map((item) => item.metadata.name), ["a", "b"]);

await custom.deleteCollectionNamespacedCustomObject({ ...where, labelSelector: "client=javascript" });
await until("the informer deletes", () => seen.includes("delete a") && seen.includes("delete b"));
assert.deepEqual([informer.list(), failure], [[], undefined]);
await informer.stop();
await definitions.deleteCustomResourceDefinition({ name });
await until("the kind is gone", async () => {
  const gone = await custom.listNamespacedCustomObject(where).then(() => undefined, (error) => error.code);
  return gone === 404;
});
