"""The manifests: rendered, validated, and run on a cluster and on a kubelet."""
