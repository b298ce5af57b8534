"""A conversion webhook for Widgets: `spec.size`, a number in v1, is `spec.amount`, a text in v1beta1.

Usage: convert.py CERTIFICATE KEY; prints the port that it serves HTTPS on.
"""

import http.server
import json
import ssl
import sys


def convert(widget, desired):
    spec = widget.get("spec", {})
    if desired.endswith("/v1"):
        widget["spec"] = {"size": int(spec.get("amount", "0"))}
    else:
        widget["spec"] = {"amount": str(spec.get("size", 0))}
    widget["apiVersion"] = desired
    return widget


class Webhook(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["content-length"])))
        asked = review.pop("request")
        widgets = [convert(widget, asked["desiredAPIVersion"]) for widget in asked["objects"]]
        review["response"] = {"uid": asked["uid"], "result": {"status": "Success"}, "convertedObjects": widgets}
        answer = json.dumps(review).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
