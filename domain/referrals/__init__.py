"""Referrals: one customer brings another, and is rewarded once the other has met every condition.

pending -> completed, when the referred user has signed up, verified the e-mail address, booked and spent enough before `expires_at`;
or expired. What is completed is paid out: scheduled -> paid | failed, and a paid reward can be reversed. The marketplace writes all of
it; the portal reads, and says what looks wrong (risks.py).
"""
