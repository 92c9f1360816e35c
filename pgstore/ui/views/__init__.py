"""The views, in the order of the navigation: `VIEWS` of each module."""

from pgstore.ui.console import Section
from pgstore.ui.pages import View
from pgstore.ui.views import (
    live,
    login,
    messages,
    parked,
    steering,
    store,
    streams,
    subscriptions,
    trace,
)

_MODULES = (messages, streams, live, trace, subscriptions, steering, parked, store, login)

VIEWS: list[View] = [view for module in _MODULES for view in module.VIEWS]
SECTIONS = [Section(view.title, view.path, view.needs) for view in VIEWS if view.title]
