import falcon
from pymongo import MongoClient

from falcorest import FalcoRest, Resource, ResourceView, methods


class Engines(Resource):
    collection = "rocket_engines"
    read_preference = "secondaryPreferred"


class Bookings(Resource):
    collection = "bookings"
    read_concern = "linearizable"
    timeout_ms = 10_000


class Clicks(Resource):
    collection = "clicks"
    write_concern = 1  # a fail-over may take back the last of them


client = MongoClient("mongodb://localhost", timeoutMS=5000, heartbeatFrequencyMS=1000)
app = falcon.App()
api = FalcoRest(app, client["shop"])


@api.register(name="engines", url="/engines")
class EngineView(ResourceView):
    resource = Engines
    methods = [methods.List, methods.Fetch]


@api.register(name="bookings", url="/bookings")
class BookingView(ResourceView):
    resource = Bookings
    methods = methods.ALL


@api.register(name="clicks", url="/clicks")
class ClickView(ResourceView):
    resource = Clicks
    methods = [methods.Create, methods.BulkCreate]
