"""The views, in the order of the navigation. A module has `VIEWS` and, for the navigation, a
`SECTION`."""

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
SECTIONS: list[Section] = [
    module.SECTION for module in (messages, streams, live, trace, subscriptions, store)
]
