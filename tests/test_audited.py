"""No act without its entry: each function of the domain that takes an actor and is no reading tells the audit log, itself or through
what it calls. Read from the source, so that a new act fails here until it does."""

import ast
import re
from functools import cache
from pathlib import Path

from portal.audit.wording import ACTIONS, GROUPS

RECORD = "domain.audit.recording.record"
READING = re.compile(r"(can|check|count|examine|find|get|list|lock|may|name|preview|require|summarise|sum|verify|visible)(_|$)")
READING_TOO = {
    "domain.audit.checks.last_verification",
    "domain.audit.recording.record",  # the entry itself
    "domain.identity.admins.grantable_role",
    "domain.identity.mfa.pending_enrolment",
    "domain.jobs.failures.group_failures",
    "domain.jobs.failures.trials_of",
    "domain.jobs.queries.pulse",
    "domain.jobs.queries.queue_now",
    "domain.referrals.rewards.rewards_of_booking",
    "domain.roles.queries.detail_of",
    "domain.roles.queries.who_can",
}
READS_ONLY = ("domain.health.", "domain.traffic.queries.")
NO_ACT_OF_THEIRS = {
    "domain.idempotency.claim": "remembers an answer",
    "domain.identity.mfa.claim_code": "part of giving a code, which is told as a whole",
    "domain.identity.mfa.forgive": "part of giving a code, which is told as a whole",
    "domain.identity.sessions.renew": "a sign of life",
    "domain.jobs.several.each": "hands each on to its command",
    "domain.refunds.commands.decision.enqueue_payout": "part of a decision",
}


class Module:
    """A file of the domain: its functions, and what the names in it stand for."""

    def __init__(self, path):
        self.name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(path.read_text())
        self.functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        self.names = {name: f"{self.name}.{name}" for name in self.functions}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                self.names.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})


@cache
def modules():
    return {module.name: module for module in map(Module, Path("domain").rglob("*.py"))}


def resolve(dotted):
    """Where a function really stands, through the packages that pass its name on."""
    home, _, name = dotted.rpartition(".")
    module = modules().get(home)
    if module is None or name in module.functions or name not in module.names:
        return dotted
    return resolve(module.names[name])


def mentioned(module, function):
    """All that a function names, called or passed on."""
    for node in ast.walk(module.functions[function]):
        if isinstance(node, ast.Name) and node.id in module.names:
            yield resolve(module.names[node.id])
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in module.names:
            yield resolve(f"{module.names[node.value.id]}.{node.attr}")


@cache
def recording():
    """The functions that record, themselves or through what they name."""
    mentions = {f"{home}.{name}": set(mentioned(module, name)) for home, module in modules().items() for name in module.functions}
    found = {RECORD}
    while more := {function for function, named in mentions.items() if named & found} - found:
        found |= more
    return found


def acts():
    for home, module in modules().items():
        for name, function in module.functions.items():
            parameters = [argument.arg for argument in function.args.args]
            if parameters[:2] in (["session", "actor"], ["session", "visitor"]) and not READING.match(name):
                yield f"{home}.{name}"


def test_each_act_leaves_an_entry():
    silent = set(acts()) - recording() - READING_TOO - set(NO_ACT_OF_THEIRS)

    assert sorted(act for act in silent if not act.startswith(READS_ONLY)) == []


def test_what_is_said_to_read_is_there_and_records_nothing():
    assert sorted((READING_TOO - {RECORD}) & recording()) == []
    assert [function for function in recording() if function.startswith(READS_ONLY)] == []
    assert {resolve(name) for name in (READING_TOO | set(NO_ACT_OF_THEIRS))} <= {
        f"{home}.{name}" for home, module in modules().items() for name in module.functions
    }


def recorded_actions():
    """Every word that is passed as the action of an entry, or named as one."""
    sources = [*Path("domain").rglob("*.py"), *Path("web").rglob("*.py")]
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("audit.record"):
                for text in ast.walk(node.args[2]):
                    if isinstance(text, ast.Constant) and isinstance(text.value, str):
                        yield text.value


def test_each_action_has_its_words_and_its_group():
    found = set(recorded_actions())

    assert len(found) > 40
    assert sorted(found - set(ACTIONS)) == []
    assert [action for action in ACTIONS if not action.startswith(tuple(start for _, starts in GROUPS.values() for start in starts))] == []
