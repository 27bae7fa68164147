"""The files of the storage in a backup: kept once, found when damaged, brought back without touching what is there."""

import json
import os
import random
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pyrage
import pytest
import zstandard

import config
from adapters.backups.uploads import in_order
from adapters.storage import BucketStorage, FolderStorage, make_storage
from domain.backups.errors import BackupCorrupt, InsufficientStorage, UploadsUnreadable
from tests.adapters.backups.conftest import FULL, INCREMENTAL, left_in, new_key, silent, vault_of, wish
from tests.adapters.backups.test_vaults import spoil
from tests.standins.s3 import S3StandIn


class Folder:
    """The storage's folder, as others write to it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.storage = FolderStorage(folder)

    def write(self, path, content):
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        os.utime(file, (1_700_000_000, 1_700_000_000))

    def remove(self, path):
        (self.folder / path).unlink()

    def contents(self):
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}


class Bucket:
    def __init__(self, s3, storage):
        self.s3, self.storage = s3, storage

    def write(self, path, content):
        self.s3.put(f"portal/{path}", content)

    def remove(self, path):
        self.s3.delete(f"portal/{path}")

    def contents(self):
        return {key.removeprefix("portal/"): content for key, content in self.s3.objects.items()}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One for all, since a client takes its time to be made."""
    with S3StandIn() as standin, pytest.MonkeyPatch.context() as surroundings:
        for name, value in standin.environment().items():
            surroundings.setenv(name, value)
        storage = make_storage(config.load({"DATA_DIR": str(tmp_path_factory.mktemp("data")), **standin.environment()}))
        assert isinstance(storage, BucketStorage)
        yield Bucket(standin, storage)
        storage.client().close()


@pytest.fixture
def s3(store):
    store.s3.clear()
    return store.s3


@pytest.fixture
def bucket(store, s3):
    return store


@pytest.fixture(params=["folder", "bucket", "bucket with versions"])
def place(request, tmp_path):
    if request.param == "folder":
        return Folder(tmp_path / "storage")
    bucket = request.getfixturevalue("bucket")
    bucket.s3.versioned = request.param == "bucket with versions"
    return bucket


@pytest.fixture
def key(request, tmp_path):
    return None if getattr(request, "param", "") == "without a key" else new_key(tmp_path)


with_and_without = pytest.mark.parametrize("key", ["without a key", "with a key"], indirect=True)


@pytest.fixture
def database(sqlite_template, tmp_path):
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'portal.db')}"


@pytest.fixture
def vault(database, folder, key, place):
    return vault_of(database, folder, key).with_uploads(place.storage)


FILES = {"exports/a.csv": os.urandom(3000), "exports/empty.csv": b"", "deep/er/still/photo.jpg": os.urandom(70_000)}


def fill(place, files=FILES):
    for path, content in files.items():
        place.write(path, content)


def made(vault, type=FULL):
    return vault.create(replace(wish(type), uploads=True), silent)


@with_and_without
def test_what_was_lost_comes_back_and_what_is_there_stays(vault, place):
    fill(place)
    backup = made(vault)
    assert (backup.uploads["count"], backup.uploads["bytes"]) == (3, sum(map(len, FILES.values())))
    assert set(left_in(vault.catalog.files(backup.id))) == {"manifest.json", *(stored.name for stored in backup.files)}
    place.remove("exports/a.csv")
    place.remove("exports/empty.csv")
    place.write("deep/er/still/photo.jpg", b"another")
    place.write("exports/later.csv", b"made after the backup")
    report = vault.restore_uploads(backup, silent)
    assert (report.added, report.added_bytes, report.same, report.changed, report.missing) == (2, len(FILES["exports/a.csv"]), 0, 1, 0)
    assert report.changed_names == ("deep/er/still/photo.jpg",)
    assert place.contents() == FILES | {"deep/er/still/photo.jpg": b"another", "exports/later.csv": b"made after the backup"}
    again = vault.restore_uploads(backup, silent)
    assert (again.added, again.same, again.changed, again.problem) == (0, 2, 1, None)


def blobs(vault):
    return sorted(path for path in (vault.folder / "uploads").rglob("*") if path.is_file())


def listed(vault, manifest):
    """The list as anybody with the key reads it."""
    stored = (vault.catalog.files(manifest.id) / manifest.file("uploads").name).read_bytes()
    opened = pyrage.decrypt(stored, [vault.key.identity]) if vault.key else stored
    return [json.loads(line) for line in zstandard.ZstdDecompressor().decompressobj().decompress(opened).splitlines()]


def test_the_second_stores_what_is_new_and_each_content_once(vault, place):
    fill(place)
    first = made(vault)
    place.write("exports/same as a.csv", FILES["exports/a.csv"])
    place.write("exports/new.csv", b"new")
    before = blobs(vault)
    second = made(vault, INCREMENTAL)
    assert (second.uploads["count"], second.uploads["new_count"]) == (5, 2)
    assert second.uploads["new_bytes"] == len(FILES["exports/a.csv"]) + 3
    assert len(blobs(vault)) == len(before) + (first.uploads["kind"] == "copied")
    assert "new ones of 5 read again" in second.verified.what
    assert {line["path"] for line in listed(vault, second)} == place.contents().keys()
    assert vault.verify(second.id, silent).verified.what.endswith("each of 5 stored files read again")


def test_without_being_asked_for_they_are_not_in_it(vault, place):
    fill(place)
    backup = vault.create(wish(), silent)
    assert backup.uploads is None
    assert vault.restore_uploads(backup, silent).added == 0
    assert "uploads" not in left_in(vault.folder)


def test_a_file_written_anew_is_kept_anew_and_both_backups_have_theirs(vault, place):
    fill(place)
    first = made(vault)
    place.write("exports/a.csv", b"the second")
    second = made(vault)
    for backup, content in ((first, FILES["exports/a.csv"]), (second, b"the second")):
        place.remove("exports/a.csv")
        vault.restore_uploads(backup, silent)
        assert place.contents()["exports/a.csv"] == content


@pytest.fixture
def copied(vault, place):
    """A backup of files in a folder, copied."""
    fill(place)
    return made(vault)


a_folder = pytest.mark.parametrize("place", ["folder"], indirect=True)
a_bucket = pytest.mark.parametrize("place", ["bucket", "bucket with versions"], indirect=True)
a_bucket_with_versions = pytest.mark.parametrize("place", ["bucket with versions"], indirect=True)


@with_and_without
@a_folder
def test_any_flipped_byte_and_any_cut_of_what_is_stored_is_found(vault, copied):
    dice = random.Random(11)
    files = [file for file in blobs(vault) if file.stat().st_size > 20]  # an empty one comes back empty, whatever is cut from it
    files.append(vault.catalog.files(copied.id) / copied.file("uploads").name)
    for number in range(60):
        file = files[number % len(files)]
        whole = file.read_bytes()
        spoil(file, whole, dice, cut=number % 2 == 0)
        with pytest.raises(BackupCorrupt, match=r"uploads\.zst|The stored file .*(a\.csv|empty\.csv|photo\.jpg)"):
            vault.verify(copied.id, silent)
        assert not vault.get(copied.id).verified.ok
        file.write_bytes(whole)
    assert vault.verify(copied.id, silent).verified.ok


@a_folder
def test_what_is_damaged_is_stored_anew_by_the_next_and_every_backup_is_whole_again(vault, copied):
    blobs(vault)[0].write_bytes(b"spoilt")
    with pytest.raises(BackupCorrupt):
        vault.verify(copied.id, silent)
    report = vault.restore_uploads(copied, silent)
    assert (report.same, report.problem) == (3, None)
    second = made(vault)
    assert second.uploads["new_count"] == 0
    for backup in (copied, second):
        assert vault.verify(backup.id, silent).verified.ok


@a_folder
def test_before_a_restore_what_it_would_bring_back_is_read_and_nothing_else(vault, copied, place):
    gone = next(line for line in listed(vault, copied) if line["path"] == "exports/a.csv")
    blob = vault.uploads.blobs.path(gone["blob"])
    whole = blob.read_bytes()
    blob.write_bytes(b"spoilt")
    vault.check_lacking(copied, silent)
    place.remove("exports/a.csv")
    with pytest.raises(BackupCorrupt, match=r"exports/a\.csv: its content"):
        vault.check_lacking(copied, silent)
    assert blob.read_bytes() == b"spoilt"
    blob.unlink()
    with pytest.raises(BackupCorrupt, match="is not there"):
        vault.check_lacking(copied, silent)
    blob.write_bytes(whole)
    vault.check_lacking(copied, silent)


@a_folder
def test_what_cannot_be_brought_back_is_missing_and_the_rest_comes_back(vault, copied, place):
    gone = next(line for line in listed(vault, copied) if line["path"] == "exports/a.csv")
    vault.uploads.blobs.path(gone["blob"]).write_bytes(b"spoilt")
    shutil.rmtree(place.folder)
    report = vault.restore_uploads(copied, silent)
    assert (report.added, report.missing, report.missing_names) == (2, 1, ("exports/a.csv",))
    assert "exports/a.csv: its content" in report.problem
    assert place.contents() == {path: content for path, content in FILES.items() if path != "exports/a.csv"}
    assert not list(place.folder.rglob(".restored-*"))


@with_and_without
@a_folder
def test_a_blob_can_be_opened_with_nothing_of_ours_and_its_name_says_nothing_without_the_key(vault, copied, key):
    for line in listed(vault, copied):
        stored = vault.uploads.blobs.path(line["blob"]).read_bytes()
        opened = pyrage.decrypt(stored, [key.identity]) if key else stored
        assert zstandard.ZstdDecompressor().decompressobj().decompress(opened) == FILES[line["path"]]
        assert (line["blob"] == line["sha256"]) == (key is None)


@a_folder
def test_only_what_no_backup_has_any_more_is_removed(vault, copied, place, monkeypatch):
    monkeypatch.setattr("domain.backups.retention.KEPT_FULLS", 1)
    place.remove("exports/a.csv")
    place.write("exports/new.csv", b"new")
    second = made(vault)
    assert vault.list() == [second]
    assert len(blobs(vault)) == 3
    assert vault.verify(second.id, silent).verified.ok
    other = vault.folder / "00000000-0000-4000-8000-000000000000.json"
    other.write_text("what it has, nobody knows")
    place.remove("exports/new.csv")
    made(vault)
    assert len(blobs(vault)) == 3
    other.unlink()
    made(vault)
    assert len(blobs(vault)) == 2


@a_folder
def test_a_process_that_is_killed_before_the_manifest_leaves_nothing_after_the_next(vault, copied, place):
    place.write("exports/new.csv", b"new")
    before = left_in(vault.folder), blobs(vault)

    class Killed(BaseException):
        pass

    def keep(draft, manifest):
        draft.rename(draft.with_name("11111111-1111-4111-8111-111111111111.unfinished"))  # as it would be left
        raise Killed

    vault.catalog.keep = keep
    with pytest.raises(Killed):
        made(vault)
    del vault.catalog.keep
    assert len(blobs(vault)) == 4
    place.remove("exports/new.csv")
    third = made(vault)
    assert (left_in(vault.folder), blobs(vault)) == (sorted([*before[0], str(third.id), f"{third.id}.json"]), before[1])


def test_stopped_anywhere_it_leaves_nothing(vault, place):
    fill(place)
    stages = set()
    vault.create(replace(wish(), uploads=True), lambda percent, stage: stages.add(stage))
    place.write("exports/new.csv", b"new")
    before = left_in(vault.folder), blobs(vault)
    for stage in stages:

        def told(percent, now, stage=stage):
            if now == stage:
                raise StopHere

        with pytest.raises(StopHere):
            vault.create(replace(wish(), uploads=True), told)
        assert (left_in(vault.folder), blobs(vault)) == before
    for stage in ("Reading stored files again", "Putting together 1 of 1"):

        def told_too(percent, now, stage=stage):
            if now == stage:
                raise StopHere

        with pytest.raises(StopHere):
            vault.verify(vault.list()[0].id, told_too)


class StopHere(Exception):
    pass


@a_folder
def test_links_and_the_like_are_left_alone_and_odd_names_are_not(vault, place, tmp_path):
    fill(place)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("not ours")
    (place.folder / "link").symlink_to(outside / "secret")
    (place.folder / "linked").symlink_to(outside)
    os.mkfifo(place.folder / "pipe")
    odd = ["new\nline", "trailing ", "ünï", "-rf", "a" * 255, os.fsdecode(b"no \xff text"), "..."]
    for name in odd:
        place.write(f"odd/{name}", name.encode("utf-8", "surrogatepass"))
    (place.folder / "exports" / ".0f8b5a52-0d41-4e57-9a6e-5b7c1d2e3f40.csv.4711").write_text("half of an export")
    backup = made(vault)
    assert (backup.uploads["count"], backup.uploads["skipped"]) == (len(FILES) + len(odd), 3)
    shutil.rmtree(place.folder)
    place.folder.mkdir()
    (place.folder / "exports").symlink_to(outside)
    report = vault.restore_uploads(backup, silent)
    assert (report.added, report.missing) == (len(odd) + 1, 2)  # nothing is written through the link
    assert sorted(path.name for path in (place.folder / "odd").iterdir()) == sorted(odd)
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]


@a_folder
def test_a_list_that_leads_out_of_the_folder_leads_nowhere(vault, place):
    place.folder.mkdir()
    for path in ("../out", "/etc/out", "a/../../out", "a//b", "", "nul\0"):
        assert not_put(vault.uploads.source, path)
    assert not list(place.folder.iterdir())


def not_put(source, path):
    with pytest.raises(Exception, match="no name that a file can have"):
        source.put(path, 0, lambda file: file.write(b"x"), None)
    return True


@a_folder
def test_a_file_that_vanishes_or_changes_while_it_is_read_is_said(vault, place):
    fill(place)
    place.write("exports/vanishing.csv", b"x")
    busy = place.folder / "exports" / "busy.log"
    busy.write_bytes(b"x" * 10)
    opened = vault.uploads.source.opened

    def interfering(path):
        if path.endswith("vanishing.csv"):
            place.remove(path)
        elif path.endswith("busy.log"):
            return Interfering(opened(path), busy)
        return opened(path)

    vault.uploads.source.opened = interfering
    backup = made(vault)
    assert (backup.uploads["count"], backup.uploads["vanished"], backup.uploads["torn"]) == (4, 1, 1)
    assert [line["path"] for line in listed(vault, backup) if line.get("torn")] == ["exports/busy.log"]
    assert len(blobs(vault)) == 4  # of the tries that came to nothing, nothing is left
    assert vault.verify(backup.id, silent).verified.ok


class Interfering:
    """Whenever the file is read, somebody writes to it."""

    def __init__(self, opened, file):
        self.opened, self.file = opened, file

    def __enter__(self):
        found = self.opened.__enter__()
        with self.file.open("ab") as file:
            file.write(b"more")
        return found

    def __exit__(self, *error):
        return self.opened.__exit__(*error)


@a_folder
def test_the_backups_themselves_are_no_part_of_it_where_they_lie_in_the_storage(database, place, key):
    fill(place)
    inside = vault_of(database, place.folder / "backups", key).with_uploads(place.storage)
    assert [made(inside).uploads["count"] for _ in range(2)] == [3, 3]


@a_folder
def test_a_folder_that_is_gone_is_not_taken_for_an_empty_one(vault, copied, place):
    place.folder.rename(place.folder.with_name("elsewhere"))
    with pytest.raises(UploadsUnreadable, match="is its disk mounted"):
        made(vault)
    assert vault.list() == [copied]


@a_folder
def test_too_little_space_for_the_files_is_said_before_the_first_byte(vault, place, monkeypatch):
    fill(place, {"exports/large.bin": os.urandom(3_000_000)})
    need = int(vault.bytes_needed() * 1.2)
    monkeypatch.setattr(type(vault), "free_bytes", lambda self: need + 1_000_000)
    with pytest.raises(InsufficientStorage):
        made(vault)
    assert left_in(vault.folder) == []
    assert vault.create(wish(), silent)


@a_bucket
def test_what_the_store_refuses_fails_the_backup_and_leaves_nothing(vault, place, s3):
    fill(place)
    backup = made(vault)
    place.write("exports/new.csv", b"new")
    before = left_in(vault.folder), blobs(vault)
    for refused_after in range(4):
        s3.fault(*["slow"] * refused_after, "denied")
        with pytest.raises(UploadsUnreadable, match="denies access"):
            made(vault)
        s3.faults.clear()
        assert (left_in(vault.folder), blobs(vault)) == before
    if place.s3.versioned:
        s3.fault("denied")
        with pytest.raises(UploadsUnreadable, match="denies access"):
            vault.verify(backup.id, silent)
        assert vault.get(backup.id).verified.ok  # nobody knows better


@pytest.mark.parametrize("place", ["bucket"], indirect=True)
def test_what_is_read_at_the_same_time_is_listed_in_order_and_each_content_kept_once(vault, place, s3):
    files = {f"{number:03}.jpg": b"the same" * 5000 if number % 3 else os.urandom(9000) for number in range(60)}
    fill(place, files)
    s3.fault(*["slow"] * 30, method="GET", seconds=0.02)
    backup = made(vault)
    assert [line["path"] for line in listed(vault, backup)] == sorted(files)
    stored = [blob.stat().st_size for blob in blobs(vault)]
    assert (len(stored), sum(stored)) == (21, backup.uploads["stored_bytes"])
    assert not list(vault.folder.rglob("incoming*"))
    for path in files:
        place.remove(path)
    assert vault.restore_uploads(backup, silent).added == 60
    assert place.contents() == files


@pytest.mark.parametrize("place", ["bucket"], indirect=True)
def test_a_backup_that_is_stopped_among_many_files_stops_them_all_and_leaves_nothing(vault, place, s3):
    fill(place, {f"{number:03}.jpg": os.urandom(300_000) for number in range(60)})
    s3.fault(*["slow"] * 200, method="GET", seconds=0.05)

    def stop_half_way(percent, stage):
        if stage == "Keeping stored files" and percent > 85:
            raise StopHere

    before = threading.active_count()
    with pytest.raises(StopHere):
        vault.create(replace(wish(), uploads=True), stop_half_way)
    assert left_in(vault.folder) == []
    assert not blobs(vault)
    assert threading.active_count() <= before + 8  # the client of the store has its own


def test_several_are_under_way_at_a_time_and_come_in_order():
    together, told = threading.Barrier(4, timeout=20), []

    def act(item, tick):
        tick(100)
        together.wait()
        return item * 2

    assert [found() for found in in_order(act, list("abcdefgh"), 4, told.append)] == ["aa", "bb", "cc", "dd", "ee", "ff", "gg", "hh"]
    assert all(0 <= size <= 800 for size in told)


@a_bucket
def test_a_list_of_many_pages_and_a_connection_that_breaks_are_no_trouble(vault, place, s3):
    s3.page_size = 3
    files = {f"exports/{number}.csv": os.urandom(200_000 if number == 3 else 50) for number in range(10)}
    fill(place, files)
    place.remove("exports/0.csv")
    s3.fault("error", "reset", "cut", method="GET")
    backup = made(vault)
    assert backup.uploads["count"] == 9
    for path in list(files)[1:]:
        place.remove(path)
    s3.fault("error", "reset", method="PUT")
    assert vault.restore_uploads(backup, silent).added == 9
    assert place.contents() == {path: content for path, content in files.items() if path != "exports/0.csv"}


@a_bucket_with_versions
def test_where_the_bucket_keeps_versions_nothing_is_copied_and_a_version_that_is_gone_is_found(vault, place, s3):
    fill(place)
    backup = made(vault)
    assert backup.uploads["kind"] == "versions"
    assert blobs(vault) == []
    asked = len([call for call in s3.calls if call.method == "HEAD"])
    made(vault)
    assert len([call for call in s3.calls if call.method == "HEAD"]) == asked == 3  # each version once
    place.write("exports/a.csv", b"newer")
    s3.versions = [version for version in s3.versions if (version.key, version.content) != ("portal/exports/a.csv", FILES["exports/a.csv"])]
    with pytest.raises(BackupCorrupt, match=r"exports/a\.csv: the bucket no longer has this version"):
        vault.verify(backup.id, silent)
    place.remove("exports/a.csv")
    report = vault.restore_uploads(backup, silent)
    assert (report.missing_names, report.same) == (("exports/a.csv",), 2)


@a_bucket
def test_what_was_kept_of_a_bucket_goes_into_a_folder_and_versions_say_where_they_are(vault, place, tmp_path):
    fill(place)
    backup = made(vault)
    folder = Folder(tmp_path / "moved")
    report = vault.with_uploads(folder.storage).restore_uploads(backup, silent)
    if backup.uploads["kind"] == "copied":
        assert (report.added, folder.contents()) == (3, FILES)
    else:
        assert report.missing == 3
        assert "versions in the bucket exports-bucket" in report.problem


def test_a_store_that_fails_after_a_restore_is_a_problem_in_its_report(vault, place, s3):
    fill(place)
    backup = made(vault)
    if isinstance(place, Folder):
        shutil.rmtree(place.folder)
        place.folder.write_text("a file where the folder should be")
    else:
        s3.fault("denied")
    report = vault.restore_uploads(backup, silent)
    assert report.added == 0
    assert report.problem


@a_folder
def test_a_backup_made_with_another_key_shares_nothing(vault, copied, place, database, tmp_path):
    other = vault_of(database, vault.folder, new_key(tmp_path, "other.key")).with_uploads(place.storage)
    assert made(other).uploads["new_count"] == 3
    assert len(blobs(vault)) == 6
    assert vault.verify(copied.id, silent).verified.ok
