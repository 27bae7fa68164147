"""The system's own roles as the specification has them, written down a second time: what a migration makes of them is held against this."""

SYSTEM_ROLES = {
    name: frozenset(permissions.split())
    for name, permissions in {
        "super_admin": "users:create users:update users:delete users:list users:view vendors:verify vendors:suspend payments:refund "
        "reviews:moderate analytics:view *",
        "vendor_admin": "vendors:list vendors:view vendors:verify vendors:suspend services:list services:view",
        "support_agent": "users:list users:view users:view_pii bookings:list bookings:view reviews:list reviews:view refunds:list",
        "finance_admin": "payments:list payments:view payments:refund subscriptions:list subscriptions:view analytics:view refunds:list "
        "refunds:approve referrals:list jobs:list",
        "content_moderator": "reviews:list reviews:view reviews:moderate reviews:hide reviews:remove",
    }.items()
}
