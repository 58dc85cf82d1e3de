"""Probes, metrics and a log of requests in an application of one's own."""

import logging
import os

import falcon
from marshmallow import fields as ma
from pymongo import MongoClient

from falcorest import FalcoRest, InFlight, Monitor, Resource, ResourceView, Schema, fields, methods
from falcorest.probes import LiveView, MetricsView, ReadyView

# Each request has a line in this log.
logging.getLogger("falcorest").setLevel(logging.INFO)

monitor = Monitor(slow_ms=200)
client = MongoClient(os.environ["MONGODB_URI"], event_listeners=monitor.listeners)
app = falcon.App(middleware=[monitor, InFlight(4)])
api = FalcoRest(app, client.get_default_database())
api.add_view(LiveView(), "/health/live")
api.add_view(ReadyView(api.db), "/health/ready")
api.add_view(MetricsView(monitor), "/metrics")


class NoteSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    text = ma.String()


class NoteResource(Resource):
    collection = "notes"
    schema = NoteSchema


@api.register(name="notes", url="/notes/")
class NoteView(ResourceView):
    resource = NoteResource
    methods = methods.ALL
