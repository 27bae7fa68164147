"""Refund requests.

    pending -> approved -> processed        pending -> rejected

`approved`: decided; the gateway is being asked, or has taken it. `processed`: the gateway says it is final. What happens between
the two is `processing_state`: queued -> asking -> accepted -> done, with `unknown` (sent, no certain answer: looked up until it is
one) and `failed` (declined for good: a person decides what next) on the side. A refund that the gateway fails after it was done
goes back to approved / failed.

Above its currency's limit a refund needs two different admins; `commands/` has one file per act, `settlement.py` asks the gateway,
and nobody else does.
"""
