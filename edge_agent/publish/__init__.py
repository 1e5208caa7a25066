"""From visits to the hub: the event contract, the outbox, and delivery that loses nothing.

`contract` says what goes on the wire and `compose` writes it; `writer` stores it in the `outbox`
before anything sees it; `delivery` decides what to send when, and when it is done; `link` does so
over `mqtt`; `publisher` is all of this from the outside.
"""
