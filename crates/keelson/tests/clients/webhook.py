"""An admission webhook for ConfigMaps: `/mutate` labels them, `/validate` warns of some and refuses others.

Usage: webhook.py CERTIFICATE KEY; prints the port that it serves HTTPS on.
"""

import base64
import json
import sys

from serve import serve


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


def answer(path, review):
    request = review.pop("request")
    response = {"/mutate": mutate, "/validate": validate}[path](request)
    return {**review, "response": {"uid": request["uid"], **response}}


serve(answer, sys.argv[1], sys.argv[2], "0.0.0.0")
