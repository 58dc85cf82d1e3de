"""Plain WSGI: an application of one's own, with the API below /api."""

from wsgiref.util import shift_path_info

import falcon
from library import api


def home(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [b"The library is open."]


rest = falcon.App()
api.init_app(rest)


def app(environ, start_response):
    if environ["PATH_INFO"].startswith("/api/"):
        shift_path_info(environ)  # moves /api from PATH_INFO to SCRIPT_NAME
        return rest(environ, start_response)
    return home(environ, start_response)
