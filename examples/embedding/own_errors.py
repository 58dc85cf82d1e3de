"""An application that words all errors by itself, those of the API too."""

import falcon
from library import api

from falcorest import Problem


def answer_problem(req, resp, problem, params):
    resp.status = problem.status
    resp.set_headers(problem.headers)
    resp.media = {"error": problem.code, "message": problem.detail}


def answer_exception(req, resp, error, params):
    resp.status = 500
    resp.media = {"error": "oops", "message": "Something broke."}


app = falcon.App()
app.add_error_handler(Exception, answer_exception)
app.add_error_handler(Problem, answer_problem)

api.init_app(app)
