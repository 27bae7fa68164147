"""The marketplace's own records, as the portal sees them: customers, vendors, bookings, payments, referrals.

They come in through `flask data import`; the portal reads them and never changes them, but for what a refund takes from a payment.
"""
