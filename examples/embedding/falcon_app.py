"""A Falcon application that gets an API beside its own routes."""

import falcon
from library import api


class Health:
    def on_get(self, req, resp):
        resp.media = {"healthy": True}


app = falcon.App()
app.add_route("/health", Health())

api.init_app(app)  # /authors and /books
