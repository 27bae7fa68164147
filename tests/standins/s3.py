"""An HTTP server that plays a bucket of S3, as far as the portal uses one: put, get, delete, list, parts, versions; with troubles."""

import hashlib
import socket
import struct
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

KEY_ID, SECRET = "AKIDSTANDIN", "stand-in-secret"


@dataclass(frozen=True)
class Fault:
    """What happens to one call: "error" (500), "denied" (403), "reset", "cut" (half of the body, then the end), "slow" (for `seconds`).

    `method` says which calls it waits for.
    """

    name: str
    method: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]


@dataclass(frozen=True)
class Version:
    """A state of an object; without content it is the mark that it was deleted."""

    key: str
    id: str
    content: bytes | None
    at: datetime


@dataclass
class S3StandIn:
    """`with S3StandIn() as s3:`; `s3.objects` is what the bucket holds, by key, and `s3.times` since when: a key's or an upload's.

    Where it is `versioned`, `s3.versions` has every state that an object ever had, the oldest first."""

    bucket: str = "exports-bucket"
    objects: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    upload_keys: dict[str, str] = field(default_factory=dict)
    times: dict[str, datetime] = field(default_factory=dict)
    versioned: bool = False
    versions: list[Version] = field(default_factory=list)
    page_size: int = 1000
    calls: list[Call] = field(default_factory=list)
    faults: deque[Fault] = field(default_factory=deque)
    lock: Any = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"standin": self}))
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # a client that went away
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def put(self, key: str, content: bytes) -> str | None:
        """Answers the version, where the bucket has any."""
        self.objects[key] = content
        self.times[key] = datetime.now(UTC)
        return self.note(key, content)

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)
        self.note(key, None)

    def clear(self) -> None:
        """As a new bucket is."""
        for everything in (self.objects, self.uploads, self.upload_keys, self.times, self.versions, self.calls, self.faults):
            everything.clear()
        self.versioned, self.page_size = False, 1000

    def note(self, key: str, content: bytes | None) -> str | None:
        if not self.versioned:
            return None
        self.versions.append(Version(key, f"v{len(self.versions) + 1}.{key[-3:]}", content, datetime.now(UTC)))
        return self.versions[-1].id

    def find(self, key: str, version: str | None) -> bytes | None:
        if version is None:
            return self.objects.get(key)
        return next((each.content for each in self.versions if (each.key, each.id) == (key, version)), None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def environment(self, prefix: str = "portal") -> dict[str, str]:
        return {
            "STORAGE_URL": f"s3://{self.bucket}/{prefix}",
            "S3_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def fault(self, *names: str, method: str = "", seconds: float = 0.0) -> None:
        """What goes wrong with the next calls of that method, one after the other."""
        self.faults.extend(Fault(name, method, seconds) for name in names)

    def next_fault(self, method: str) -> Fault | None:
        with self.lock:
            if self.faults and self.faults[0].method in ("", method):
                return self.faults.popleft()
            return None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    standin: S3StandIn

    def log_message(self, *_: object) -> None:
        pass

    def do_PUT(self) -> None:
        self.play()

    do_POST = do_GET = do_DELETE = do_HEAD = do_PUT

    def play(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = parse_qs(parts.query, keep_blank_values=True)
        self.standin.calls.append(Call(self.command, unquote(parts.path), query, dict(self.headers.items())))
        fault = self.standin.next_fault(self.command)
        if fault and fault.name == "slow":
            time.sleep(fault.seconds)
        elif fault and fault.name == "reset":
            return self.reset()
        elif fault and fault.name == "error":
            return self.refuse(500, "InternalError")
        elif fault and fault.name == "denied":
            return self.refuse(403, "AccessDenied")
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        if f"Credential={KEY_ID}/" not in self.headers.get("Authorization", ""):
            return self.refuse(403, "InvalidAccessKeyId")
        if self.headers.get("x-amz-content-sha256", "").startswith("STREAMING") or "x-amz-trailer" in self.headers:
            return self.refuse(501, "NotImplemented")  # as many stores answer what only Amazon's knows
        if bucket != self.standin.bucket:
            return self.refuse(404, "NoSuchBucket")
        return getattr(self, self.command.lower())(key, query, body, fault)

    def put(self, key: str, query: dict[str, list[str]], body: bytes, _fault: Fault | None) -> None:
        if "partNumber" in query:
            self.standin.uploads[query["uploadId"][0]][int(query["partNumber"][0])] = body
            return self.answer(200, headers={"ETag": etag(body)})
        if source := self.headers.get("x-amz-copy-source"):
            return self.copy(key, source)
        return self.answer(200, headers={"ETag": etag(body), **version_header(self.standin.put(key, body))})

    def copy(self, key: str, source: str) -> None:
        path, _, version = source.partition("?versionId=")
        content = self.standin.find(unquote(path).lstrip("/").partition("/")[2], version or None)
        if content is None:
            return self.refuse(404, "NoSuchVersion")
        self.standin.put(key, content)
        return self.xml(f"<CopyObjectResult><ETag>{etag(content)}</ETag></CopyObjectResult>")

    def post(self, key: str, query: dict[str, list[str]], _body: bytes, _fault: Fault | None) -> None:
        if "uploads" in query:
            upload = f"upload-{len(self.standin.calls)}"
            self.standin.uploads[upload] = {}
            self.standin.upload_keys[upload] = key
            self.standin.times[upload] = datetime.now(UTC)
            return self.xml(f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>")
        parts = self.standin.uploads.pop(query["uploadId"][0])
        self.standin.put(key, b"".join(parts[number] for number in sorted(parts)))
        return self.xml(f"<CompleteMultipartUploadResult><Key>{escape(key)}</Key><ETag>x</ETag></CompleteMultipartUploadResult>")

    def get(self, key: str, query: dict[str, list[str]], _body: bytes, fault: Fault | None) -> None:
        if not key:
            return self.list_all(query)
        version = query.get("versionId", [None])[0]
        content = self.standin.find(key, version)
        if content is None:
            return self.refuse(404, "NoSuchVersion" if version else "NoSuchKey")
        if self.headers.get("If-Match", etag(content)) != etag(content):
            return self.refuse(412, "PreconditionFailed")
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        rest = content[start:]
        cut = rest[: len(rest) // 2] if fault and fault.name == "cut" else None
        changed = format_datetime(self.standin.times.get(key, datetime.now(UTC)), usegmt=True)
        self.answer(206 if start else 200, rest, {"ETag": etag(content), "Last-Modified": changed}, cut)
        self.close_connection = cut is not None
        return None

    def head(self, key: str, query: dict[str, list[str]], body: bytes, fault: Fault | None) -> None:
        self.get(key, query, body, fault)

    def list_all(self, query: dict[str, list[str]]) -> None:
        if "versioning" in query:
            state = "<Status>Enabled</Status>" if self.standin.versioned else ""
            return self.xml(f"<VersioningConfiguration>{state}</VersioningConfiguration>")
        if "versions" in query:
            return self.list_versions(query)
        return self.list_uploads(query) if "uploads" in query else self.list_objects(query)

    def list_versions(self, query: dict[str, list[str]]) -> None:
        """By key, and the newest first; the markers name the last of the page before."""
        newest = [each for each in reversed(self.standin.versions) if each.key.startswith(query["prefix"][0])]
        rows = sorted(newest, key=lambda each: each.key)
        latest = {each.key: each for each in self.standin.versions}
        after = (query.get("key-marker", [""])[0], query.get("version-id-marker", [""])[0])
        start = next((place + 1 for place, each in enumerate(rows) if (each.key, each.id) == after), 0)
        page, more = rows[start : start + self.standin.page_size], len(rows) > start + self.standin.page_size
        text = "".join(version_row(each, latest[each.key] is each) for each in page)
        last = (
            f"<NextKeyMarker>{escape(page[-1].key)}</NextKeyMarker><NextVersionIdMarker>{page[-1].id}</NextVersionIdMarker>" if more else ""
        )
        self.xml(f"<ListVersionsResult><IsTruncated>{str(more).lower()}</IsTruncated>{last}{text}</ListVersionsResult>")

    def list_objects(self, query: dict[str, list[str]]) -> None:
        """A page; the token of the next is the last key of this one."""
        after = query.get("continuation-token", [""])[0]
        keys = sorted(key for key in self.standin.objects if key.startswith(query["prefix"][0]) and key > after)
        page, more = keys[: self.standin.page_size], len(keys) > self.standin.page_size
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{stamp(self.standin.times[key])}</LastModified>"
            f"<ETag>{etag(self.standin.objects[key])}</ETag><Size>{len(self.standin.objects[key])}</Size></Contents>"
            for key in page
        )
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        self.xml(f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{rows}</ListBucketResult>")

    def list_uploads(self, query: dict[str, list[str]]) -> None:
        rows = "".join(
            f"<Upload><Key>{escape(self.standin.upload_keys[upload])}</Key><UploadId>{upload}</UploadId>"
            f"<Initiated>{stamp(self.standin.times[upload])}</Initiated></Upload>"
            for upload in self.standin.uploads
            if self.standin.upload_keys[upload].startswith(query["prefix"][0])
        )
        self.xml(f"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>{rows}</ListMultipartUploadsResult>")

    def delete(self, key: str, query: dict[str, list[str]], _body: bytes, _fault: Fault | None) -> None:
        if "uploadId" in query:
            self.standin.uploads.pop(query["uploadId"][0], None)
        else:
            self.standin.delete(key)
        self.answer(204)

    def xml(self, text: str) -> None:
        self.answer(200, f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode(), {"Content-Type": "application/xml"})

    def refuse(self, status: int, code: str) -> None:
        text = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"
        self.answer(status, text.encode(), {"Content-Type": "application/xml"})

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None, sent: bytes | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if sent is None else sent)

    def reset(self) -> None:
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True


def version_row(version: Version, latest: bool) -> str:
    kind = "DeleteMarker" if version.content is None else "Version"
    facts = f"<Key>{escape(version.key)}</Key><VersionId>{version.id}</VersionId><IsLatest>{str(latest).lower()}</IsLatest>"
    if version.content is not None:
        facts += f"<ETag>{etag(version.content)}</ETag><Size>{len(version.content)}</Size>"
    return f"<{kind}>{facts}<LastModified>{stamp(version.at)}</LastModified></{kind}>"


def version_header(version: str | None) -> dict[str, str]:
    return {"x-amz-version-id": version} if version else {}


def stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.000Z"


def etag(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
