"""Score an agent's events against the truth.

| number | meaning |
|---|---|
| false exit | a published exit during all of which, from its date to `tolerance` after its decision, the visitor surely was inside; it stays one when a resumed enter takes it back |
| passer-by entered | a walk past the store for which a visit was opened |
| missed | a true visit that no claimed visit overlaps; a visitor who is never heard is one |
| merged | a true visit that was only noticed as a part of another |
| phantom | a claimed visit further than `tolerance` from any true one, and not a passer-by's |
| enter latency | from the first packet that could be received inside (else the crossing) to the decision |
| exit latency | from the true exit to the decision; false and missing exits have none |
| dwell error | what was claimed for a true visit in all, against how long it may have lasted |
| crossings | enters and exits matched one to one within `tolerance` |
| zone time | seconds in the right zone |
| spurious move | a move into a zone where she cannot have been within `tolerance` |

A visit open at the end of the trace lasts until then. Where the truth is a window of time,
whatever the window allows is right. What is said about a fixture counts for nothing.
"""  # noqa: E501 - a table

from simulators.score.claims import BadEventError, Claims
from simulators.score.command import score_command
from simulators.score.result import Score
from simulators.score.tally import Tally, score, score_claims

__all__ = ["BadEventError", "Claims", "Score", "Tally", "score", "score_claims", "score_command"]
