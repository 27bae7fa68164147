from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4
from xml.etree import ElementTree

import pyotp
import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from domain.audit.models import AuditEntry
from domain.db import now
from domain.errors import MfaRequired, RateLimited
from domain.identity import mfa, sessions
from domain.identity.mfa import NotEnrolling, Sealer
from domain.identity.models import Admin, AdminSession, Door, RecoveryCode
from domain.identity.sign_in import InvalidCredentials
from domain.throttle import ThrottleCounter

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@pytest.fixture
def signed_in(session, visitor, admin):
    """Signs the admin in with a password alone; answers the actor."""

    def signed_in(door=Door.PORTAL):
        row, _ = sessions.open_session(session, admin.id, door, visitor)
        session.commit()
        actor = sessions.find_by_id(session, row.id, door).actor(visitor)
        session.rollback()
        return actor

    return signed_in


@pytest.fixture
def enrolled(session, admin, sealer, signed_in):
    """The admin has SECRET on a phone; answers the actor before the second step."""
    admin.totp_secret, admin.totp_confirmed_at = sealer.seal(SECRET, admin.id), now()
    session.commit()
    return signed_in()


def code(offset: int = 0, secret: str = SECRET) -> str:
    return pyotp.TOTP(secret).at(datetime.now(UTC) + timedelta(seconds=30 * offset))


def actions(session) -> list[str]:
    found = list(session.scalars(select(AuditEntry.action).order_by(AuditEntry.sequence)))
    session.rollback()
    return found


def forget_used_steps(session) -> None:
    session.execute(update(Admin).values(totp_last_step=0))
    session.commit()


class TestACode:
    def test_it_stamps_a_new_session_that_takes_the_old_ones_place(self, session, enrolled, sealer, visitor):
        row, secret = mfa.verify_code(session, enrolled, sealer, code())
        session.commit()

        assert row.id != enrolled.session_id
        assert sessions.find_by_secret(session, secret).actor(visitor).has_fresh_mfa
        assert sessions.find_by_id(session, enrolled.session_id, Door.PORTAL) is None

    def test_the_new_session_lives_no_longer_than_the_old_one(self, session, enrolled, sealer):
        old = session.get_one(AdminSession, enrolled.session_id)
        session.rollback()

        row, _ = mfa.verify_code(session, enrolled, sealer, code())

        assert row.expires_at == old.expires_at

    def test_it_is_good_once(self, session, enrolled, sealer, signed_in):
        same = code()
        mfa.claim_code(session, enrolled, sealer, same)

        with pytest.raises(InvalidCredentials, match="used before"):
            mfa.claim_code(session, signed_in(), sealer, same)

    def test_twenty_posts_of_it_at_once_are_one_success(self, engine, enrolled, sealer):
        same = code()

        def post(_: int) -> str:
            with Session(engine) as own:
                try:
                    mfa.claim_code(own, enrolled, sealer, same)
                except (InvalidCredentials, RateLimited) as error:
                    return error.code
            return "in"

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(post, range(20)))

        assert answers.count("in") == 1

    @pytest.mark.parametrize("offset", [-1, 0, 1])
    def test_a_neighbouring_step_is_good_since_clocks_differ(self, session, enrolled, sealer, offset):
        assert mfa.claim_code(session, enrolled, sealer, code(offset))

    @pytest.mark.parametrize("offset", [-10, -3, 3, 10])
    def test_one_further_off_is_not(self, session, enrolled, sealer, offset):
        with pytest.raises(InvalidCredentials):
            mfa.claim_code(session, enrolled, sealer, code(offset))

    def test_an_earlier_step_is_refused_once_a_later_one_was_used(self, session, enrolled, sealer):
        mfa.claim_code(session, enrolled, sealer, code())

        with pytest.raises(InvalidCredentials):
            mfa.claim_code(session, enrolled, sealer, code(-1))

    @pytest.mark.parametrize(
        "spelt",
        [
            lambda digits: f"{digits[:3]} {digits[3:]}",
            lambda digits: f"  {digits}\n",
            lambda digits: " ".join(digits),
            lambda digits: "".join(chr(ord(digit) + 0xFEE0) for digit in digits),
            lambda digits: f"{digits[:3]}\u00a0{digits[3:]}",
            lambda digits: f"{digits[:3]}-{digits[3:]}",
        ],
        ids=["a gap", "space around", "spread", "full-width", "no-break space", "hyphen"],
    )
    def test_another_spelling_is_the_same_code_and_does_not_make_it_good_twice(self, session, enrolled, sealer, spelt):
        digits = code()
        mfa.claim_code(session, enrolled, sealer, spelt(digits))

        with pytest.raises(InvalidCredentials):
            mfa.claim_code(session, enrolled, sealer, digits)

    @pytest.mark.parametrize(
        "nonsense",
        ["", "12345", "1234567", "abcdef", "\x00" * 6, "\ud800", "١٢٣٤٥٦", "1e5", "-12345", "0x1234", "999999 OR 1=1", "1" * 10_000],
    )
    def test_nonsense_is_refused(self, session, enrolled, sealer, nonsense):
        with pytest.raises(InvalidCredentials):
            mfa.claim_code(session, enrolled, sealer, nonsense)

    def test_the_audit_says_how_and_never_the_code(self, session, enrolled, sealer):
        digits = code()
        mfa.claim_code(session, enrolled, sealer, digits)
        with pytest.raises(InvalidCredentials):
            mfa.claim_code(session, enrolled, sealer, "000000")

        entries = list(session.scalars(select(AuditEntry).order_by(AuditEntry.sequence)))
        assert [(entry.action, entry.details) for entry in entries] == [("mfa.verified", {"how": "totp"}), ("mfa.refused", {"how": "totp"})]

    def test_without_a_second_factor_there_is_nothing_to_verify(self, session, signed_in, sealer):
        with pytest.raises(MfaRequired, match="No second factor"):
            mfa.claim_code(session, signed_in(), sealer, "123456")


class TestGuessing:
    def test_the_sixth_wrong_code_in_five_minutes_waits(self, session, enrolled, sealer):
        for _ in range(5):
            with pytest.raises(InvalidCredentials):
                mfa.claim_code(session, enrolled, sealer, "000000")

        with pytest.raises(RateLimited, match="5 minutes"):
            mfa.claim_code(session, enrolled, sealer, code())
        assert actions(session)[-1] == "mfa.throttled"

    def test_the_twenty_first_in_an_hour_waits_for_the_hour(self, session, enrolled, sealer):
        for number in range(20):
            if number % 5 == 0:
                session.execute(update(ThrottleCounter).filter_by(name=mfa.BURST.name).values(window_start=now() - timedelta(minutes=5)))
                session.commit()
            with pytest.raises(InvalidCredentials):
                mfa.claim_code(session, enrolled, sealer, "000000")
        session.execute(update(ThrottleCounter).filter_by(name=mfa.BURST.name).values(window_start=now() - timedelta(minutes=5)))
        session.commit()

        with pytest.raises(RateLimited) as refused:
            mfa.claim_code(session, enrolled, sealer, code())
        assert refused.value.retry_after > 3000

    def test_a_good_code_starts_the_count_again(self, session, enrolled, sealer):
        for _ in range(3):
            for _ in range(4):
                with pytest.raises(InvalidCredentials):
                    mfa.claim_code(session, enrolled, sealer, "000000")
            forget_used_steps(session)
            mfa.claim_code(session, enrolled, sealer, code())

    def test_a_code_sent_again_is_not_a_guess(self, session, enrolled, sealer):
        same = code()
        mfa.claim_code(session, enrolled, sealer, same)
        for _ in range(8):
            with pytest.raises(InvalidCredentials):
                mfa.claim_code(session, enrolled, sealer, same)


class TestEnrolling:
    def test_a_code_of_the_new_secret_takes_it_into_use(self, session, signed_in, sealer, admin, visitor):
        actor = signed_in()
        enrolment = mfa.begin_enrolment(session, actor, sealer)
        session.commit()

        codes, row, secret = mfa.confirm_enrolment(session, actor, sealer, code(secret=enrolment.secret))
        session.commit()

        now_signed_in = sessions.find_by_secret(session, secret)
        assert now_signed_in.admin.mfa_enrolled
        assert now_signed_in.actor(visitor).has_fresh_mfa
        assert len(set(codes)) == 10
        assert sessions.find_by_id(session, actor.session_id, Door.PORTAL) is None

    def test_a_wrong_code_leaves_everything_as_it_was(self, session, signed_in, sealer, admin):
        actor = signed_in()
        enrolment = mfa.begin_enrolment(session, actor, sealer)
        session.commit()

        with pytest.raises(InvalidCredentials):
            mfa.confirm_enrolment(session, actor, sealer, "000000")

        assert mfa.pending_enrolment(session, actor, sealer) == enrolment
        session.refresh(admin)
        assert not admin.mfa_enrolled

    def test_nothing_begun_cannot_be_confirmed(self, session, signed_in, sealer):
        with pytest.raises(NotEnrolling):
            mfa.confirm_enrolment(session, signed_in(), sealer, "123456")

    def test_the_code_that_confirmed_cannot_be_used_to_sign_in(self, session, signed_in, sealer):
        actor = signed_in()
        digits = code(secret=mfa.begin_enrolment(session, actor, sealer).secret)
        session.commit()
        mfa.confirm_enrolment(session, actor, sealer, digits)
        session.commit()

        with pytest.raises(InvalidCredentials):
            mfa.verify_code(session, signed_in(), sealer, digits)

    def test_replacing_a_factor_needs_the_one_there_is(self, session, enrolled, sealer):
        with pytest.raises(MfaRequired):
            mfa.begin_enrolment(session, enrolled, sealer)

    def test_the_old_phone_works_until_the_new_one_is_confirmed(self, session, enrolled, sealer, visitor):
        row, _ = mfa.verify_code(session, enrolled, sealer, code(-1))
        session.commit()
        actor = sessions.find_by_id(session, row.id, Door.PORTAL).actor(visitor)
        enrolment = mfa.begin_enrolment(session, actor, sealer)
        session.commit()

        mfa.claim_code(session, actor, sealer, code())
        mfa.confirm_enrolment(session, actor, sealer, code(secret=enrolment.secret))
        session.commit()

        forget_used_steps(session)
        with pytest.raises(InvalidCredentials):
            mfa.claim_code(session, actor, sealer, code())
        mfa.claim_code(session, actor, sealer, code(secret=enrolment.secret))

    def test_the_picture_is_an_svg_without_styles_scripts_or_other_hosts(self, session, signed_in, sealer):
        enrolment = mfa.begin_enrolment(session, signed_in(), sealer)

        names = {name for element in ElementTree.fromstring(enrolment.qr_svg).iter() for name in element.attrib}
        assert "style" not in names and not any(name.startswith("on") or "href" in name for name in names)
        assert enrolment.otpauth_url.startswith("otpauth://totp/")
        assert "asha%40example.com" in enrolment.otpauth_url
        assert enrolment.grouped_secret.replace(" ", "") == enrolment.secret
        assert len(enrolment.secret) == 32  # base32: 160 bits

    def test_secrets_lie_sealed_in_the_database(self, session, signed_in, sealer, admin):
        secret = mfa.begin_enrolment(session, signed_in(), sealer).secret

        assert secret not in session.get_one(Admin, admin.id).totp_pending_secret

    def test_a_sealed_secret_opens_for_its_own_admin_and_key_alone(self, sealer):
        admin_id = uuid4()
        sealed = sealer.seal(SECRET, admin_id)

        assert sealer.open(sealed, admin_id) == SECRET
        assert sealer.open(sealed, uuid4()) is None
        assert Sealer(b"x" * 32).open(sealed, admin_id) is None
        assert sealer.open("nonsense", admin_id) is None
        assert sealer.open("", admin_id) is None


class TestRecoveryCodes:
    @pytest.fixture
    def codes(self, session, enrolled, sealer):
        codes = mfa.replace_recovery_codes(session, enrolled.admin_id)
        session.commit()
        return codes

    def test_one_stands_in_for_the_phone_once(self, session, enrolled, sealer, codes, signed_in):
        assert mfa.verify_code(session, enrolled, sealer, codes[3])
        session.commit()

        with pytest.raises(InvalidCredentials):
            mfa.verify_code(session, signed_in(), sealer, codes[3])
        assert mfa.recovery_codes_left(session, enrolled.admin_id) == 9

    def test_it_may_be_typed_in_small_letters_without_hyphens(self, session, enrolled, sealer, codes):
        assert mfa.claim_code(session, enrolled, sealer, f" {codes[0].lower().replace('-', ' ')} ")

    def test_twenty_posts_of_one_at_once_are_one_success(self, engine, enrolled, sealer, codes):
        def post(_: int) -> str:
            with Session(engine) as own:
                try:
                    mfa.claim_code(own, enrolled, sealer, codes[0])
                except (InvalidCredentials, RateLimited) as error:
                    return error.code
            return "in"

        with ThreadPoolExecutor(20) as pool:
            assert list(pool.map(post, range(20))).count("in") == 1

    def test_they_have_125_bits_and_only_their_hashes_are_kept(self, session, enrolled, codes):
        kept = set(session.scalars(select(RecoveryCode.code_hash)))

        assert all(len(mfa.plain_recovery_code(code)) == 25 for code in codes)
        assert not kept & set(codes)
        assert all(len(each) == 64 for each in kept)

    def test_somebody_elses_is_worth_nothing(self, session, enrolled, sealer, codes):
        session.execute(update(RecoveryCode).values(admin_id=enrolled.admin_id))
        other = session.scalars(select(func.count()).select_from(Admin)).one()
        assert other == 1
        session.rollback()
        with pytest.raises(InvalidCredentials):
            mfa.claim_code(session, enrolled, sealer, codes[0][:-1] + ("A" if codes[0][-1] != "A" else "B"))

    def test_new_ones_need_a_fresh_second_factor_and_make_the_old_ones_void(self, session, enrolled, sealer, codes, visitor):
        with pytest.raises(MfaRequired):
            mfa.renew_recovery_codes(session, enrolled)
        session.rollback()
        row, _ = mfa.verify_code(session, enrolled, sealer, codes[0])
        session.commit()
        actor = sessions.find_by_id(session, row.id, Door.PORTAL).actor(visitor)

        renewed = mfa.renew_recovery_codes(session, actor)
        session.commit()

        with pytest.raises(InvalidCredentials):
            mfa.claim_code(session, actor, sealer, codes[1])
        assert mfa.claim_code(session, actor, sealer, renewed[0])
