"""Compares manifests on standard input with the schemas of a version of Kubernetes: python manifests.py VERSION

It needs kubernetes-validate, which has the schemas of Kubernetes' own kinds. No key may be unknown.
"""

import sys

import kubernetes_validate
import yaml

# Kinds of others, of which it has no schema.
OTHERS = {"monitoring.coreos.com/v1"}

names = []
for manifest in yaml.safe_load_all(sys.stdin):
    name = f"{manifest['kind']} {manifest['metadata']['name']}"
    if manifest["apiVersion"] in OTHERS:
        name += " (not checked)"
    else:
        kubernetes_validate.validate(manifest, sys.argv[1], strict=True)
    names.append(name)
assert names, "there is no manifest"
print(", ".join(names))
