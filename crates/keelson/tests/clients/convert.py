"""A conversion webhook for Widgets: `spec.size`, a number in v1, is `spec.amount`, a text in v1beta1.

Usage: convert.py CERTIFICATE KEY; prints the port that it serves HTTPS on.
"""

import sys

from serve import serve


def convert(widget, desired):
    spec = widget.get("spec", {})
    if desired.endswith("/v1"):
        widget["spec"] = {"size": int(spec.get("amount", "0"))}
    else:
        widget["spec"] = {"amount": str(spec.get("size", 0))}
    widget["apiVersion"] = desired
    return widget


def answer(_, review):
    asked = review.pop("request")
    widgets = [convert(widget, asked["desiredAPIVersion"]) for widget in asked["objects"]]
    review["response"] = {"uid": asked["uid"], "result": {"status": "Success"}, "convertedObjects": widgets}
    return review


serve(answer, sys.argv[1], sys.argv[2])
