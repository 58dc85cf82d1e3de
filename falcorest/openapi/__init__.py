"""OpenAPI 3.1: what an API serves, described for one caller, and a page to try it.

The description is drawn from what serves: the declarations of resources, the policy, and the
tables of methods, operators, hints, limits and error codes.
"""
