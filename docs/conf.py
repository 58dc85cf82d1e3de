"""Configuration of the documentation."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import falcorest

project = "falcorest"
version = release = falcorest.__version__
project_copyright = "the authors of falcorest"

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "falcorest_tables"]
exclude_patterns = ["_build"]
nitpicky = True
# NOTE: there is no intersphinx, because the build needs no network.
nitpick_ignore_regex = [
    (r"py:.*", r"(falcon|pymongo|bson|marshmallow|collections|hmac|pathlib)\..*"),
    (r"py:.*", r"(App|Collection|Document|MongoDatabase)"),
    (r"py:class", r"falcorest\.(views\.ResourceView|query\.Document|dialects\.base\.Dialect)"),
    (r"py:class", r"falcorest\.(database\.(MongoDatabase|Transactions)|api\.V)"),
    (r"py:class", r"falcorest\.service\.CollectionService"),
]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"falcorest {version}"
html_copy_source = False
highlight_language = "none"
