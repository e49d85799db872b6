from .siskin import *  # NOQA
