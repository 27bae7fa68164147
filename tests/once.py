"""What each test's own application would work out anew though it follows from the code alone, kept for the whole run."""

from types import CodeType

from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from werkzeug.routing import Rule


class CompiledOnce(Rule):
    """An address whose matching and building are compiled by the first application that has it."""

    COMPILED = ("arguments", "_parts", "_trace", "_converters", "_build", "_build_unknown")
    known: dict[tuple[object, ...], Rule] = {}

    def compile(self) -> None:
        known = self.known.setdefault((self.rule, self.endpoint, self.subdomain, repr(self.defaults)), self)
        if known is self:
            super().compile()
        else:
            vars(self).update({name: vars(known)[name] for name in self.COMPILED})


class TemplatesOnce(BytecodeCache):
    """The code of compiled templates, in memory."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        assert bucket.code is not None
        self._codes[bucket.key, bucket.checksum] = bucket.code
