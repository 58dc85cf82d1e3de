"""A Flask application with the API below /api."""

import falcon
from flask import Flask
from library import api
from werkzeug.middleware.dispatcher import DispatcherMiddleware

app = Flask(__name__)


@app.get("/")
def home():
    return "The library is open."


rest = falcon.App()
api.init_app(rest)

app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/api": rest})
