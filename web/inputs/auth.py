"""What is asked when somebody signs in."""

from web.inputs import Input
from web.inputs.fields import Flag, Text


class SignIn(Input):
    email = Text(required=True, max=320, metadata={"example": "asha@example.com"})
    password = Text(required=True, trimmed=False, max=1024, metadata={"format": "password", "example": "correct horse battery"})


class Code(Input):
    code = Text(required=True, max=64, metadata={"description": "Six digits from the phone, or a recovery code.", "example": "123456"})


class Refresh(Input):
    refresh_token = Text(required=True, max=200)


class SignOut(Input):
    everywhere = Flag(load_default=False, metadata={"description": "End every session of yours, not only this one."})


class TimeZone(Input):
    timezone = Text(required=True, max=64, metadata={"example": "Asia/Kolkata"})
