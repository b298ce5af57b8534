"""An admission webhook for ConfigMaps: `/mutate` labels them, `/validate` warns of some and refuses others.

Usage: webhook.py CERTIFICATE KEY; prints the port that it serves HTTPS on.
"""

import base64
import http.server
import json
import ssl
import sys


def mutate(request):
    patch = [{"op": "add", "path": "/metadata/labels", "value": {"by": request["userInfo"]["username"]}}]
    return {"allowed": True, "patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}


def validate(request):
    if request["operation"] == "DELETE":
        kept = request["oldObject"].get("data", {}).get("keep") == "yes"
        return {"allowed": not kept, "status": {"code": 409, "reason": "Conflict", "message": "it is to be kept"}}
    color = request["object"].get("data", {}).get("color")
    if color == "red":
        return {"allowed": False, "status": {"message": f"{request['name']} must not be red"}}
    return {"allowed": True, "warnings": [f"{color} goes out of fashion"] if color == "green" else []}


class Webhook(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["content-length"])))
        request = review.pop("request")
        answer = {"/mutate": mutate, "/validate": validate}[self.path.partition("?")[0]](request)
        review["response"] = {"uid": request["uid"], **answer}
        body = json.dumps(review).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Webhook)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
