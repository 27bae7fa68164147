"""Signing in."""

from api.operations.parts import ADMIN_ID, Operation, success
from api.refusals import Refusal

TOKENS = {
    "access_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiI1YjBjN2QxZSJ9.c2lnbmF0dXJl",
    "token_type": "Bearer",
    "expires_in": 900,
    "refresh_token": "gq0W3m0mS0iYc1cJm5q6pO3b9cS7gqV9o2o9mB4N7eA",
    "mfa": {"enrolled": True, "verified": False},
}
WRONG_CODE = Refusal(401, "INVALID_CREDENTIALS", "This code is not right, or was used before.")
TOO_MANY = Refusal(429, "RATE_LIMITED", "Too many tries. Try again in 5 minutes.", {"retry_after": 300})

OPERATIONS = {
    "auth.login": Operation(
        request={"email": "asha@example.com", "password": "correct horse battery"},
        answers={200: success(TOKENS)},
        refusals=(Refusal(401, "INVALID_CREDENTIALS", "The e-mail address or the password is not right."), TOO_MANY),
    ),
    "auth.second_step": Operation(
        request={"code": "123456"},
        answers={200: success({**TOKENS, "mfa": {"enrolled": True, "verified": True}})},
        refusals=(WRONG_CODE, Refusal(403, "MFA_REQUIRED", "No second factor is set up for your account."), TOO_MANY),
    ),
    "auth.refresh": Operation(
        request={"refresh_token": TOKENS["refresh_token"]},
        answers={200: success({**TOKENS, "mfa": {"enrolled": True, "verified": True}})},
        refusals=(Refusal(401, "UNAUTHENTICATED", "This refresh token is not good any more. Sign in again."), TOO_MANY),
    ),
    "auth.logout": Operation(request={"everywhere": True}, answers={200: success({"signed_out": True, "sessions_ended": 3})}),
    "auth.me": Operation(
        answers={
            200: success(
                {
                    "id": ADMIN_ID,
                    "email": "asha@example.com",
                    "name": "Asha Rao",
                    "role": {"id": "finance_admin", "name": "Finance Admin"},
                    "permissions": ["payments:refund", "refunds:approve", "refunds:list"],
                    "mfa": {"enrolled": True, "verified": True, "verified_at": "2025-11-12T10:58:00Z", "fresh": True},
                    "timezone": "Asia/Kolkata",
                    "locale": "en_IN",
                }
            )
        }
    ),
}
