"""The demo models' corpus: one module for each domain, in the order in which reports list them."""

from . import arithmetic, lists, python_code, facts, stories, korean, structured, functions

DOMAINS = [arithmetic, lists, python_code, facts, stories, korean, structured, functions]
