"""A Django project in one file, with the API below /api.

In a project of the usual size, this is what changes in its wsgi.py.
"""

import falcon
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from library import api
from werkzeug.middleware.dispatcher import DispatcherMiddleware

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)


def home(request):
    return HttpResponse("The library is open.")


urlpatterns = [path("", home)]

rest = falcon.App()
api.init_app(rest)

application = DispatcherMiddleware(get_wsgi_application(), {"/api": rest})
