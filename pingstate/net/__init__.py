"""Bytes on the wire within one deadline: names, sockets, TLS, HTTP/1. Knows no probe."""
