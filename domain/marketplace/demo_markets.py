"""The four places the demo's marketplace works in: their money, their people, who serves them. All made up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Market:
    """`least` to `most` is what a booking costs, in steps of `step`, all in minor units. Names are written and, after "|", romanised."""

    currency: str
    share: int
    least: int
    most: int
    step: int
    first_names: list[str]
    last_names: list[str]
    workers: list[str]
    vendors: tuple[tuple[str, str], ...]
    methods: list[str]
    family_first: bool = False


INDIA = Market(
    currency="INR",
    share=60,
    least=49_900,
    most=14_500_000,
    step=100,
    first_names="""
    Aarav Aditi Ananya Arjun Deepa Divya Farhan Gurpreet Ishaan Kavya Lakshmi Meera Mohammed Neha Nikhil Pooja Rahul Rohan
    Sanjana Shreya Sunita Tanvi Varun Vikram Zoya अनिल|Anil सीमा|Seema कविता|Kavita
    """.split(),
    last_names="""
    Agarwal Banerjee Bose Chatterjee Chopra D'Souza Fernandes Gill Gupta Iyer Jain Joshi Khan Krishnan Kulkarni Mehta Menon
    Mishra Nair Patel Pillai Reddy Shah Singh Srinivasan Verma शर्मा|Sharma यादव|Yadav
    """.split(),
    workers="Ramesh Salim Manoj Rekha Suresh Bhavna".split(),
    vendors=(
        ("Chakachak Home Cleaning", "cleaning"),
        ("Swachh Ghar Services", "cleaning"),
        ("Nal & Pipe Plumbers", "plumbing"),
        ("Bijli Bhai Electricals", "electrical"),
        ("Thanda Mausam AC Care", "air_conditioning"),
        ("CoolBreeze AC Point", "air_conditioning"),
        ("Roop Rani Salon at Home", "salon"),
        ("Sona Beauty Studio", "salon"),
        ("Gharpaar Packers & Movers", "moving"),
        ("Lamhe Wedding Photography", "photography"),
        ("Pathshala Home Tutors", "tutoring"),
        ("Deemak Drive Pest Control", "pest_control"),
        ("FixKaro Appliance Repair", "appliance_repair"),
        ("Hari Bagh Gardeners", "gardening"),
        ("Sukoon Ayurvedic Massage", "massage"),
    ),
    methods="upi card netbanking wallet".split(),
)
AMERICA = Market(
    currency="USD",
    share=20,
    least=3_500,
    most=240_000,
    step=25,
    first_names="""
    Abigail Andre Brandon Caitlin Carlos Denise Elena Ethan Grace Hannah Jamal Jessica Kevin Latoya Luis Megan Nathan Olivia
    Peter Rachel Samuel Tiffany Victor Wendy
    """.split(),
    last_names="""
    Adams Alvarez Bennett Brooks Carter Cohen Diaz Edwards Foster Garcia Hughes Jackson Kowalski Lopez McCarthy Nguyen O'Brien
    Parker Rivera Schmidt Thompson Washington Young
    """.split(),
    workers="Mike Tony Dana Marcus Sheila".split(),
    vendors=(
        ("Bright & Tidy Maids", "cleaning"),
        ("Drain Brothers Plumbing", "plumbing"),
        ("Live Wire Electric", "electrical"),
        ("Second Floor Movers", "moving"),
        ("Golden Hour Photography", "photography"),
        ("Head Start Tutoring", "tutoring"),
        ("Bye Bye Bugs", "pest_control"),
        ("Maple Street Appliance", "appliance_repair"),
        ("Knots & Kneads Massage", "massage"),
        ("Four Seasons Lawn Care", "gardening"),
        ("Blue Collar Cooling", "air_conditioning"),
    ),
    methods="card apple_pay bank_account".split(),
)
JAPAN = Market(
    currency="JPY",
    share=12,
    least=2_500,
    most=180_000,
    step=100,
    first_names="""
    美咲|Misaki 翔太|Shota さくら|Sakura 健一|Kenichi 結衣|Yui 大輔|Daisuke 陽子|Yoko 拓海|Takumi
    直子|Naoko 蓮|Ren Emi Hiroshi
    """.split(),
    last_names="""
    佐藤|Sato 鈴木|Suzuki 高橋|Takahashi 田中|Tanaka 渡辺|Watanabe 伊藤|Ito 小林|Kobayashi 加藤|Kato
    山田|Yamada 松本|Matsumoto
    """.split(),
    workers="中村さん 木村さん 林さん".split(),
    vendors=(
        ("ぴかぴかお掃除サービス", "cleaning"),
        ("あさひ引越センター", "moving"),
        ("すずかぜエアコンサービス", "air_conditioning"),
        ("ひかり写真館", "photography"),
        ("まなび家庭教師", "tutoring"),
        ("Midori Garden みどり造園", "gardening"),
        ("やわらぎ整体院", "massage"),
    ),
    methods="card konbini".split(),
    family_first=True,
)
KUWAIT = Market(
    currency="KWD",
    share=8,
    least=4_500,
    most=420_000,
    step=250,
    first_names="Abdullah Dalal Fahad Hessa Khaled Mariam Noura Yousef فاطمة|Fatima سارة|Sara أحمد|Ahmad بدر|Bader".split(),
    last_names="Al-Ajmi Al-Enezi Al-Mutairi Al-Rashidi Al-Fadhli Behbehani الكندري|Al-Kandari العتيبي|Al-Otaibi الشمري|Al-Shammari".split(),
    workers="Ibrahim Joseph Rashid".split(),
    vendors=(
        ("Lulwa Home Cleaning", "cleaning"),
        ("Barad AC Services", "air_conditioning"),
        ("نقل السريع", "moving"),
        ("Rimal Salon", "salon"),
        ("صيانة الديرة", "plumbing"),
        ("Al Waha Appliance Care", "appliance_repair"),
    ),
    methods="knet card".split(),
)
MARKETS = (INDIA, AMERICA, JAPAN, KUWAIT)
