"""From visits to the hub: the event contract, the outbox, and delivery that loses nothing.

An event is stored in `outbox` before anything sees it; `delivery` decides what to send when, and
when it is done; `mqtt` carries it; `publisher` joins the three.
"""
