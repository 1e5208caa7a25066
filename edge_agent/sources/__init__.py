"""Sources: each turns one receiver into observations, and knows nothing of what becomes of them.

Where a new radio goes: one sibling module here, named after the receiver (`ble.py` is bleak; the
kernel's management socket, or a UWB anchor, would be the next), with a class that satisfies
`source.Source`. It needs no registration: the composition root builds it and hands it to
`source.supervise`. What it owes:

- `listen()` is one life of the receiver. Its first item is `RadioState(listening=True)`, once it
  really hears; it raises `source.SourceLostError`, in a technician's words, when it no longer can.
- an observation is stamped when it is received, not when it is taken from a queue;
- every queue is bounded, and what is dropped is counted in `health`;
- the filter for opted-in identities runs first, and what it refuses is not kept;
- no address or payload in a log line, an error or a repr.
"""
