"""Errors as JSON, for every path under /api/."""

from flask import Flask, jsonify
from flask.typing import ResponseReturnValue

from domain.errors import RateLimited
from web import limits, problems
from web.problems import Problem
from web.requests import client_address, request_id


def register(app: Flask) -> None:
    problems.shown_by(app, "/api/", render)


def render(problem: Problem) -> ResponseReturnValue:
    if problem.status == 401:
        problem = counted(problem)
    error = {"code": problem.code, "message": problem.message, "request_id": request_id(), **problem.details}
    return jsonify(success=False, error=error), problem.status, dict(problem.headers)


def counted(problem: Problem) -> Problem:
    """A stranger's call, unless its address has made too many of them."""
    try:
        limits.spend_stranger(client_address())
    except RateLimited as error:
        return problems.problem_of(error)
    return problem
