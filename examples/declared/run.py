"""Serve one of the examples beside this file: python run.py relations."""

import importlib
import sys

from pymongo import MongoClient
from waitress import serve

name = sys.argv[1]
app = importlib.import_module(name).create_app(MongoClient()[f"example_{name}"])
serve(app, listen="127.0.0.1:8000")
