// What a program with Kubernetes' JavaScript client does. Takes the path of a kubeconfig; ends with 0 when all of it works.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

// The client is installed outside the checkout, where NODE_PATH says.
const require = createRequire(`${process.env.NODE_PATH}/`);
const { CoreV1Api, KubeConfig, PatchStrategy, Watch, setHeaderOptions } = require("@kubernetes/client-node");

const namespace = "default";
const labelSelector = "client=javascript";

const configMap = (name, data) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace, labels: { client: "javascript" } },
  data,
});

const kubeconfig = new KubeConfig();
kubeconfig.loadFromFile(process.argv[2]);
const core = kubeconfig.makeApiClient(CoreV1Api);

async function pages() {
  const names = [];
  let [count, token] = [0, undefined];
  do {
    const page = await core.listNamespacedConfigMap({ namespace, labelSelector, limit: 2, _continue: token });
    names.push(...page.items.map((item) => item.metadata.name));
    [count, token] = [count + 1, page.metadata._continue];
  } while (token);
  return [names, count];
}

const refused = (code, call) => assert.rejects(call, (error) => error.code === code);

// The events of a watch, until there are as many as wanted.
function watched(resourceVersion, wanted) {
  return new Promise((resolve, reject) => {
    const seen = [];
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    const watching = new Watch(kubeconfig).watch(
      path,
      { resourceVersion, labelSelector, timeoutSeconds: 30 },
      async (type, object) => {
        seen.push(`${type} ${object.metadata.name}`);
        if (seen.length === wanted) {
          (await watching).abort();
          resolve(seen);
        }
      },
      () => (seen.length < wanted ? reject(new Error(`the watch ended after ${seen}`)) : undefined),
    );
  });
}

// The keys of the data that each manager owns.
const owned = (made) =>
  Object.fromEntries(
    made.metadata.managedFields.map(({ manager, operation, fieldsV1 }) => [
      `${operation} ${manager}`,
      Object.keys(fieldsV1["f:data"] ?? {}).filter((key) => key !== "."),
    ]),
  );

// Server-side apply by several managers.
async function applies() {
  const name = "applied";
  const apply = (fieldManager, data, force) =>
    core.patchNamespacedConfigMap(
      { name, namespace, body: configMap(name, data), fieldManager, force },
      setHeaderOptions("Content-Type", PatchStrategy.ServerSideApply),
    );
  assert.deepEqual(owned(await apply("one", { a: "1", b: "1" })), { "Apply one": ["f:a", "f:b"] });
  let made = await apply("two", { c: "2" });
  assert.deepEqual(made.data, { a: "1", b: "1", c: "2" });
  assert.equal((await apply("two", { c: "2" })).metadata.resourceVersion, made.metadata.resourceVersion);
  await refused(409, () => apply("two", { a: "2", c: "2" }));
  made = await apply("two", { a: "2", c: "2" }, true);
  assert.deepEqual(made.data, { a: "2", b: "1", c: "2" });
  assert.deepEqual(owned(made), { "Apply one": ["f:b"], "Apply two": ["f:a", "f:c"] });
  made.data.b = "3";
  made = await core.replaceNamespacedConfigMap({ name, namespace, body: made, fieldManager: "three" });
  assert.deepEqual(owned(made), { "Apply one": [], "Apply two": ["f:a", "f:c"], "Update three": ["f:b"] });
  // What a manager no longer says goes away.
  assert.deepEqual((await apply("two", { a: "2" })).data, { a: "2", b: "3" });
}

for (let number = 0; number < 5; number++) {
  const made = await core.createNamespacedConfigMap({ namespace, body: configMap(`j${number}`, { a: `${number}` }) });
  assert.deepEqual(made.data, { a: `${number}` });
}
await refused(409, () => core.createNamespacedConfigMap({ namespace, body: configMap("j0", {}) }));
assert.deepEqual(await pages(), [["j0", "j1", "j2", "j3", "j4"], 3]);
const since = (await core.listNamespacedConfigMap({ namespace })).metadata.resourceVersion;

const patch = (body, strategy) =>
  core.patchNamespacedConfigMap({ name: "j1", namespace, body }, setHeaderOptions("Content-Type", strategy));
let patched = await patch([{ op: "replace", path: "/data/a", value: "json" }], PatchStrategy.JsonPatch);
assert.deepEqual(patched.data, { a: "json" });
patched = await patch({ data: { a: null, b: "merge" } }, PatchStrategy.MergePatch);
assert.deepEqual(patched.data, { b: "merge" });
patched = await patch({ metadata: { finalizers: ["example.com/hold"] } }, PatchStrategy.StrategicMergePatch);
assert.deepEqual(patched.metadata.finalizers, ["example.com/hold"]);
await patch(
  { metadata: { "$deleteFromPrimitiveList/finalizers": ["example.com/hold"] } },
  PatchStrategy.StrategicMergePatch,
);

const stale = await core.readNamespacedConfigMap({ name: "j2", namespace });
stale.data = { a: "newer" };
await core.replaceNamespacedConfigMap({ name: "j2", namespace, body: stale });
await refused(409, () => core.replaceNamespacedConfigMap({ name: "j2", namespace, body: stale }));
await core.deleteNamespacedConfigMap({ name: "j3", namespace });
await refused(404, () => core.readNamespacedConfigMap({ name: "j3", namespace }));
assert.deepEqual(await watched(since, 6), [...Array(4).fill("MODIFIED j1"), "MODIFIED j2", "DELETED j3"]);
await applies();
await core.deleteCollectionNamespacedConfigMap({ namespace, labelSelector });
assert.deepEqual(await pages(), [[], 1]);
