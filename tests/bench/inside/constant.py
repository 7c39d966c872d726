"""The least that a WSGI server can serve, and the least that checks a target."""


def app(_environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"up"]
