"""An extension API server for Notes, `ext.acme.dev/v1`, as upstream's library makes them: it believes what a proxy of the
cluster says of the user, asks the cluster about tokens and rights, and keeps Notes in memory.

Usage: extension.py CERTIFICATE KEY PORT URL AUTHORITY TOKEN; the last three reach the cluster. Prints its port when it
serves.
"""

import http.server
import json
import queue
import ssl
import sys
import tempfile
import threading
import urllib.request

GROUP, VERSION = "ext.acme.dev", "v1"
BASE = f"/apis/{GROUP}/{VERSION}"
certificate, key, port, url, authority, token = sys.argv[1:]
cluster_tls = ssl.create_default_context(cafile=authority)
lock = threading.Lock()
notes, watchers, revision = {}, [], 0


def ask(path, body=None):
    request = urllib.request.Request(url + path, method="POST" if body else "GET")
    request.add_header("authorization", f"Bearer {open(token).read().strip()}")
    request.add_header("content-type", "application/json")
    data = json.dumps(body).encode() if body else None
    with urllib.request.urlopen(request, data, context=cluster_tls) as answer:
        return json.load(answer)


# Whom the cluster's proxy is known by, and how it names users.
proxies = ask("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication")["data"]
names = {header: json.loads(proxies[f"requestheader-{header}"]) for header in ("username-headers", "group-headers")}
allowed = json.loads(proxies["requestheader-allowed-names"])

RESOURCES = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": f"{GROUP}/{VERSION}",
    "resources": [
        {
            "name": "notes",
            "singularName": "note",
            "namespaced": True,
            "kind": "Note",
            "verbs": ["create", "delete", "get", "list", "watch"],
            "shortNames": ["nt"],
        }
    ],
}
KIND = [{"group": GROUP, "version": VERSION, "kind": "Note"}]
SCHEMA = {
    "openapi": "3.0.0",
    "info": {"title": "Notes", "version": VERSION},
    "paths": {
        f"{BASE}/namespaces/{{namespace}}/notes": {
            "post": {
                "responses": {"200": {"description": "OK"}},
                "x-kubernetes-action": "post",
                "x-kubernetes-group-version-kind": KIND[0],
            }
        }
    },
    "components": {
        "schemas": {
            "dev.acme.ext.v1.Note": {
                "type": "object",
                "description": "A note to oneself.",
                "x-kubernetes-group-version-kind": KIND,
                "properties": {
                    "apiVersion": {"type": "string"},
                    "kind": {"type": "string"},
                    "metadata": {"type": "object"},
                    "text": {"type": "string", "description": "What it says."},
                },
            }
        }
    },
}
DOCUMENTS = {
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    BASE: RESOURCES,
    "/openapi/v3": {"paths": {BASE[1:]: {"serverRelativeURL": f"/openapi/v3{BASE}?hash=1"}}},
    f"/openapi/v3{BASE}": SCHEMA,
}


class Refused(Exception):
    def __init__(self, code, reason, message):
        self.code, self.reason, self.message = code, reason, message


def tell(event, note):
    for watcher in watchers:
        watcher.put({"type": event, "object": note})


class Extension(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def user(self):
        shown = self.connection.getpeercert()
        if shown:
            common_name = dict(pair[0] for pair in shown["subject"]).get("commonName")
            named = next((self.headers[name] for name in names["username-headers"] if self.headers[name]), None)
            if named and (not allowed or common_name in allowed):
                groups = [group for name in names["group-headers"] for group in self.headers.get_all(name, [])]
                return named, groups
        scheme, _, shown = self.headers.get("authorization", "").partition(" ")
        if scheme == "Bearer":
            review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": shown}}
            status = ask("/apis/authentication.k8s.io/v1/tokenreviews", review)["status"]
            if status.get("authenticated"):
                return status["user"]["username"], status["user"].get("groups", [])
        raise Refused(401, "Unauthorized", "Unauthorized")

    def authorize(self, user, verb, namespace, name):
        attributes = {"group": GROUP, "version": VERSION, "resource": "notes", "verb": verb}
        attributes.update(namespace=namespace, name=name)
        spec = {"user": user[0], "groups": user[1], "resourceAttributes": attributes}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        if not ask("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)["status"]["allowed"]:
            raise Refused(403, "Forbidden", f"the extension lets {user[0]} {verb} no notes")

    def answer(self, body, code=200):
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def serve(self):
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        try:
            user = self.user()
            path, _, query = self.path.partition("?")
            if path in DOCUMENTS:
                return self.answer(DOCUMENTS[path])
            parts = path.removeprefix(BASE).strip("/").split("/")
            namespace = parts[1] if parts[0] == "namespaces" else ""
            name = parts[3] if len(parts) > 3 else ""
            if "notes" not in parts[:3]:
                raise Refused(404, "NotFound", "the server could not find the requested resource")
            verb = {"POST": "create", "DELETE": "delete", "GET": "get" if name else "list"}[self.command]
            verb = "watch" if verb == "list" and "watch=" in query else verb
            self.authorize(user, verb, namespace, name)
            getattr(self, verb)(user, namespace, name, body)
        except Refused as refused:
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": refused.code}
            self.answer({**status, "reason": refused.reason, "message": refused.message}, refused.code)

    def create(self, user, namespace, _, note):
        global revision
        with lock:
            revision += 1
            made = {"namespace": namespace, "resourceVersion": str(revision), "annotations": {"author": user[0]}}
            made.update(uid=f"note-{revision}", creationTimestamp="2026-01-01T00:00:00Z")
            note["metadata"] = {**note["metadata"], **made}
            notes[namespace, note["metadata"]["name"]] = note
            tell("ADDED", note)
        self.answer(note, 201)

    def get(self, _, namespace, name, __):
        with lock:
            note = notes.get((namespace, name))
        if not note:
            raise Refused(404, "NotFound", f'notes.{GROUP} "{name}" not found')
        self.answer(note)

    def list(self, _, namespace, *__):
        with lock:
            items = [note for (of, _), note in sorted(notes.items()) if namespace in ("", of)]
            metadata = {"resourceVersion": str(revision)}
        self.answer({"kind": "NoteList", "apiVersion": f"{GROUP}/{VERSION}", "metadata": metadata, "items": items})

    def delete(self, _, namespace, name, __):
        with lock:
            note = notes.pop((namespace, name), None)
            if note:
                tell("DELETED", note)
        if not note:
            raise Refused(404, "NotFound", f'notes.{GROUP} "{name}" not found')
        self.answer(note)

    def watch(self, *_):
        events = queue.Queue()
        with lock:
            watchers.append(events)
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        while True:
            event = json.dumps(events.get()).encode() + b"\n"
            self.wfile.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")

    do_GET = do_POST = do_DELETE = serve

    def log_message(self, *_):
        pass


with tempfile.NamedTemporaryFile("w", suffix=".crt") as trusted:
    trusted.write(proxies["requestheader-client-ca-file"])
    trusted.flush()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=trusted.name)
tls.verify_mode = ssl.CERT_OPTIONAL
tls.load_cert_chain(certificate, key)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def get_request(self):
        connection, address = super().get_request()
        # The handshake is the business of the connection's own thread.
        return tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, *_):
        pass


server = Server(("0.0.0.0", int(port)), Extension)
print(server.server_address[1], flush=True)
server.serve_forever()
