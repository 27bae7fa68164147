"""A folder and a bucket keep the same promises; the bucket keeps them also where the store or the way to it fails."""

import os
import sys
from datetime import timedelta
from uuid import uuid4

import pytest

import adapters.storage
import config
from adapters.storage import MULTIPART_FROM, FolderStorage, make_storage
from domain.db import now
from domain.storage import StorageError
from tests.standins.s3 import S3StandIn

NAME = "exports/0f8b5a52-0d41-4e57-9a6e-5b7c1d2e3f40.csv"


@pytest.fixture
def s3():
    with S3StandIn() as standin:
        yield standin


@pytest.fixture
def bucket(s3, tmp_path, monkeypatch):
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    storage = make_storage(config.load({"DATA_DIR": str(tmp_path), **s3.environment()}))
    yield storage
    storage.client().close()


@pytest.fixture(params=["folder", "bucket"])
def storage(request, tmp_path):
    return FolderStorage(tmp_path / "kept") if request.param == "folder" else request.getfixturevalue("bucket")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "result.csv"

    def write(content: bytes):
        path.write_bytes(content)
        return path

    return write


def content_of(storage, name=NAME):
    pieces, size = storage.open(name)
    content = b"".join(pieces)
    assert len(content) == size
    return content


@pytest.mark.parametrize("content", [b"", b"id,name\r\n", bytes(range(256)) * 4000], ids=["empty", "small", "1 MB"])
def test_what_was_saved_is_read_as_it_was(storage, file, content):
    storage.save(NAME, file(content))
    assert content_of(storage) == content


def test_saving_again_replaces(storage, file):
    storage.save(NAME, file(b"first"))
    storage.save(NAME, file(b"second"))
    assert content_of(storage) == b"second"


def test_a_file_that_is_not_there_is_said_to_be_missing(storage):
    with pytest.raises(FileNotFoundError):
        storage.open(NAME)


def test_deleting_removes_and_twice_is_no_error(storage, file):
    storage.save(NAME, file(b"gone soon"))
    storage.delete(NAME)
    storage.delete(NAME)
    with pytest.raises(FileNotFoundError):
        storage.open(NAME)


@pytest.mark.parametrize("name", ["../secret", "exports/../../secret", "/etc/passwd", "exports/", "exports/a/b", "exports/a\0", ""])
def test_a_name_that_is_not_ours_reaches_nothing(storage, file, name):
    for act in (lambda: storage.open(name), lambda: storage.save(name, file(b"x")), lambda: storage.delete(name)):
        with pytest.raises(StorageError):
            act()


LATER = timedelta(minutes=1)
OTHER = "exports/6ba7b810-9dad-41d1-80b4-00c04fd430c8.xlsx"


def aged(storage, s3, name, age=timedelta(days=3)):
    """As if the file had been kept so long ago."""
    if isinstance(storage, FolderStorage):
        at = (now() - age).timestamp()
        os.utime(storage.path(name), (at, at))
    else:
        s3.times[storage.key(name)] = now() - age


def test_the_files_of_a_folder_are_listed_by_their_age(storage, s3, file):
    for name in (NAME, OTHER, "doctor/6ba7b810-9dad-41d1-80b4-00c04fd430c8.txt"):
        storage.save(name, file(b"x"))
    aged(storage, s3, OTHER)
    assert sorted(storage.names("exports", now() + LATER)) == [NAME, OTHER]
    assert list(storage.names("exports", now() - timedelta(days=1))) == [OTHER]
    assert list(storage.names("backups", now() + LATER)) == []


def test_what_was_listed_can_be_deleted_while_the_list_is_read(storage, file, s3):
    s3.page_size = 2
    kept = {f"exports/{uuid4()}.csv" for _ in range(5)}
    for name in kept:
        storage.save(name, file(b"x"))
    seen = set()
    for name in storage.names("exports", now() + LATER):
        storage.delete(name)
        seen.add(name)
    assert seen == kept
    assert list(storage.names("exports", now() + LATER)) == []


def test_the_folder_lists_nothing_that_is_not_ours(tmp_path, file):
    storage = FolderStorage(tmp_path / "kept")
    storage.save(NAME, file(b"x"))
    folder = tmp_path / "kept" / "exports"
    (folder / "a folder").mkdir()
    (folder / "notes of mine.txt").write_text("x")
    (folder / "link.csv").symlink_to(tmp_path)
    assert list(storage.names("exports", now() + LATER)) == [NAME]


def test_a_draft_whose_process_died_is_dropped_and_a_fresh_one_is_not(tmp_path):
    storage = FolderStorage(tmp_path / "kept")
    folder = tmp_path / "kept" / "exports"
    folder.mkdir(parents=True)
    for name in (".0f8b5a52-0d41-4e57-9a6e-5b7c1d2e3f40.csv.4711", ".6ba7b810-9dad-41d1-80b4-00c04fd430c8.xlsx.4712", ".gitkeep"):
        (folder / name).write_text("x")
    os.utime(folder / ".0f8b5a52-0d41-4e57-9a6e-5b7c1d2e3f40.csv.4711", (0, 0))
    os.utime(folder / ".gitkeep", (0, 0))
    assert storage.drop_unfinished("exports", now() - timedelta(days=1)) == 1
    assert sorted(path.name for path in folder.iterdir()) == [".6ba7b810-9dad-41d1-80b4-00c04fd430c8.xlsx.4712", ".gitkeep"]
    assert storage.drop_unfinished("doctor", now()) == 0


def test_an_upload_whose_process_died_is_dropped_and_a_fresh_one_is_not(bucket, s3):
    for upload, key, age in (("old", NAME, 3), ("fresh", OTHER, 0), ("not-ours", "elsewhere", 3)):
        s3.uploads[upload] = {1: b"x"}
        s3.upload_keys[upload] = bucket.key(key) if "/" in key else key
        s3.times[upload] = now() - timedelta(days=age)
    assert bucket.drop_unfinished("exports", now() - timedelta(days=1)) == 1
    assert set(s3.uploads) == {"fresh", "not-ours"}


def test_a_store_that_denies_a_list_says_so(bucket, s3):
    s3.fault("denied")
    with pytest.raises(StorageError, match="The files could not be listed: the storage denies access to it"):
        list(bucket.names("exports", now()))


def test_a_file_nobody_reads_to_its_end_is_closed(tmp_path, file):
    storage = FolderStorage(tmp_path / "kept")
    storage.save(NAME, file(b"x"))
    pieces, _ = storage.open(NAME)
    pieces.close()
    assert pieces.file.closed


def test_a_folder_that_cannot_be_written_says_so_without_its_path(tmp_path, file):
    (tmp_path / "kept").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="could not be kept") as refusal:
        FolderStorage(tmp_path / "kept").save(NAME, file(b"x"))
    assert str(tmp_path) not in str(refusal.value)


def test_a_file_on_another_disk_is_copied(tmp_path, file, monkeypatch):
    source = file(b"from afar")
    monkeypatch.setattr(type(source), "rename", lambda *_: (_ for _ in ()).throw(OSError(18, "Invalid cross-device link")))
    storage = FolderStorage(tmp_path / "kept")
    storage.save(NAME, source)
    assert content_of(storage) == b"from afar"
    assert [path.name for path in (tmp_path / "kept" / "exports").iterdir()] == [NAME.removeprefix("exports/")]


def test_the_bucket_is_addressed_by_path_under_the_prefix_without_trailing_checksums(bucket, s3, file):
    bucket.save(NAME, file(b"content"))
    assert s3.objects == {f"portal/{NAME}": b"content"}
    [call] = s3.calls
    assert call.path == f"/{s3.bucket}/portal/{NAME}"
    assert not [header for header in call.headers if header.lower().startswith(("x-amz-checksum", "x-amz-trailer", "x-amz-sdk-checksum"))]


def test_a_large_file_goes_in_parts(bucket, s3, file):
    content = b"0123456789abcdef" * (MULTIPART_FROM // 16 * 2 + 1)
    bucket.save(NAME, file(content))
    assert sum("partNumber" in call.query for call in s3.calls) == 3
    assert content_of(bucket) == content


def test_a_part_that_fails_for_good_leaves_nothing_in_the_bucket(bucket, s3, file):
    s3.fault(*["error"] * 12, method="PUT")
    with pytest.raises(StorageError, match="an error of its own"):
        bucket.save(NAME, file(b"x" * (MULTIPART_FROM + 1)))
    assert (s3.objects, s3.uploads) == ({}, {})


@pytest.mark.parametrize("fault", ["error", "reset"])
def test_what_goes_wrong_once_is_tried_again(bucket, s3, file, fault):
    s3.fault(fault, method="PUT")
    bucket.save(NAME, file(b"x"))
    s3.fault(fault, method="GET")
    assert content_of(bucket) == b"x"
    s3.fault(fault, method="DELETE")
    bucket.delete(NAME)
    assert s3.objects == {}


def test_what_stays_wrong_is_given_up_in_words(bucket, s3, file):
    s3.fault(*["error"] * 8)
    with pytest.raises(StorageError, match="The file could not be kept: the storage has an error of its own"):
        bucket.save(NAME, file(b"x"))
    assert len(s3.calls) == adapters.storage.TRIES


@pytest.mark.parametrize("act", ["save", "open", "delete"])
def test_a_store_that_denies_is_not_asked_again(bucket, s3, file, act):
    s3.fault("denied")
    with pytest.raises(StorageError, match="denies access"):
        bucket.save(NAME, file(b"x")) if act == "save" else getattr(bucket, act)(NAME)
    assert len(s3.calls) == 1


def test_reading_goes_on_where_it_broke_off(bucket, s3, file):
    content = bytes(range(256)) * 8000
    bucket.save(NAME, file(content))
    s3.fault("cut", "cut", method="GET")
    assert content_of(bucket) == content
    first, *others = [call.headers.get("Range") for call in s3.calls if call.method == "GET"]
    starts = [int(header.removeprefix("bytes=").rstrip("-")) for header in others]
    assert first is None
    assert 0 < starts[0] < starts[1] < len(content)


def test_a_store_that_answers_no_more_ends_the_wait(bucket, s3, file, monkeypatch):
    monkeypatch.setattr(adapters.storage, "READ_SECONDS", 0.2)
    monkeypatch.setattr(adapters.storage, "TRIES", 2)
    s3.fault("slow", "slow", seconds=1)
    with pytest.raises(StorageError, match="could not be reached"):
        bucket.save(NAME, file(b"x"))


def test_a_store_that_is_not_there_is_named_without_its_address(tmp_path, file, s3, monkeypatch):
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(adapters.storage, "TRIES", 1)
    settings = {"DATA_DIR": str(tmp_path), **s3.environment(), "S3_ENDPOINT_URL": "http://127.0.0.1:1"}
    storage = make_storage(config.load(settings))
    with pytest.raises(StorageError) as refusal:
        storage.save(NAME, file(b"x"))
    assert str(refusal.value) == "The file could not be kept: the storage could not be reached."


def test_a_bucket_that_does_not_exist_is_said_so(tmp_path, file, s3, monkeypatch):
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    storage = make_storage(config.load({"DATA_DIR": str(tmp_path), **s3.environment(), "STORAGE_URL": "s3://no-such-bucket"}))
    with pytest.raises(StorageError, match="its bucket does not exist"):
        storage.save(NAME, file(b"x"))


def test_without_keys_the_store_is_not_reached_and_it_says_so(tmp_path, file, s3, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    storage = make_storage(config.load({"DATA_DIR": str(tmp_path), **s3.environment()}))
    with pytest.raises(StorageError, match="no keys"):
        storage.save(NAME, file(b"x"))


def test_s3_without_its_package_is_a_mistake_in_the_settings(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(config.ConfigError, match=r"STORAGE_URL: s3:// needs the package boto3"):
        make_storage(config.load({"DATA_DIR": str(tmp_path), "STORAGE_URL": "s3://bucket"}))


@pytest.mark.parametrize("url", ["file://relative/folder", "file://", "s3://", "s3://Bad_Bucket", "ftp://host/folder"])
def test_a_url_that_names_no_place_is_refused_at_the_start(tmp_path, url):
    with pytest.raises(config.ConfigError, match="STORAGE_URL"):
        config.load({"DATA_DIR": str(tmp_path), "STORAGE_URL": url})


def test_files_are_in_the_data_folder_unless_said_otherwise(tmp_path, file):
    make_storage(config.load({"DATA_DIR": str(tmp_path / "100% #1 with space")})).save(NAME, file(b"x"))
    assert (tmp_path / "100% #1 with space" / "storage" / NAME).read_bytes() == b"x"
