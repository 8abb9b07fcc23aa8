"""People with names in three scripts (PS3.5 6.2.1): Latin with accents, Japanese in all component groups, Cyrillic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

Name = Mapping[str, str]
"""A person name as in DICOM JSON: its component groups (PS3.18 F.2.2)."""

LAST_BIRTH = date(2015, 12, 31)
"""Before the first study, so that no patient is examined before birth."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_LATIN_FAMILIES = _words("""
    Müller García Núñez Jørgensen Åkesson O'Brien D'Angelo Dvořák Łukasiewicz Çelik Côté Nguyễn Szabó Kovács
    Østergård Fernández-López Smith Weiß Šimić Popović Lefèvre Brown Johnson Schröder Hernández Peña Muñoz Gonçalves
    Ibáñez Böhm Köhler Jäger Krüger Großmann Novák Černý Horváth Tóth Ångström Bäckström Sørensen Brontë Lévêque
    Beauséjour Martin Dupont Rossi Bianchi Esposito Papadakis Jansen Wójcik Kamiński Öztürk Yılmaz Taylor Wilson
    Evans Thomas Roberts Walker Wright Campbell Murphy Kelly Baker Fischer Schneider Wagner Becker Hoffmann Koch
""")
_LATIN_GIVEN = {
    "F": _words("""
        María Zoë Chloé Inés Hélène Anaïs Ágnes Jane Emily Małgorzata Renée Özlem Françoise Lucía Élise Ana Mónica
        Katharina Ute Ruth Grace Alice Margaret Jadwiga Sofía Ingrid Anne-Marie Giulia Noémie
    """),
    "M": _words("""
        José Jürgen Søren Björn Łukasz André Rubén René Tomáš István Jean-François Óscar Gürkan Aurélien Ángel John
        William Peter Karl Günther Jörg Andrés Émile Théo Iñigo Paul Marco Sven Håkan Stéphane
    """),
}
_JAPANESE_FAMILIES = _words("""
    Yamada:山田:やまだ Satou:佐藤:さとう Suzuki:鈴木:すずき Takahashi:高橋:たかはし Tanaka:田中:たなか Itou:伊藤:いとう
    Watanabe:渡辺:わたなべ Yamamoto:山本:やまもと Nakamura:中村:なかむら Kobayashi:小林:こばやし Katou:加藤:かとう
    Yoshida:吉田:よしだ Sasaki:佐々木:ささき Yamaguchi:山口:やまぐち Matsumoto:松本:まつもと Inoue:井上:いのうえ
    Kimura:木村:きむら Hayashi:林:はやし Saitou:斎藤:さいとう Shimizu:清水:しみず Abe:阿部:あべ Mori:森:もり
    Ikeda:池田:いけだ Hashimoto:橋本:はしもと Ishikawa:石川:いしかわ Ogawa:小川:おがわ
    Okada:岡田:おかだ Kondou:近藤:こんどう
""")
_JAPANESE_GIVEN = {
    "F": _words("""
        Hanako:花子:はなこ Youko:陽子:ようこ Keiko:恵子:けいこ Yumi:由美:ゆみ Akemi:明美:あけみ Sakura:桜:さくら
        Aoi:葵:あおい Misaki:美咲:みさき Naomi:直美:なおみ Kazuko:和子:かずこ Sachiko:幸子:さちこ Tomoko:智子:ともこ
    """),
    "M": _words("""
        Tarou:太郎:たろう Ichirou:一郎:いちろう Kenji:健二:けんじ Hiroshi:浩:ひろし Makoto:誠:まこと Takashi:隆:たかし
        Daisuke:大輔:だいすけ Shouta:翔太:しょうた Kazuo:和夫:かずお Minoru:実:みのる Osamu:修:おさむ Naoki:直樹:なおき
    """),
}
_CYRILLIC_FAMILIES = {
    "M": _words("""
        Иванов Смирнов Кузнецов Попов Васильев Петров Соколов Михайлов Новиков Фёдоров Морозов Волков Алексеев
        Лебедев Семёнов Егоров Павлов Козлов Степанов Николаев Орлов Андреев Макаров Никитин Захаров Зайцев
    """)
}
_CYRILLIC_FAMILIES["F"] = tuple(f"{family}а" for family in _CYRILLIC_FAMILIES["M"])
_CYRILLIC_GIVEN = {
    "F": _words(
        "Анна Мария Елена Ольга Наталья Татьяна Ирина Светлана Екатерина Людмила Галина Юлия Софья Дарья"
    ),
    "M": _words(
        "Александр Сергей Дмитрий Андрей Алексей Максим Евгений Иван Михаил Фёдор Пётр Николай Юрий Артём"
    ),
}
_CYRILLIC_FATHERS = {
    "F": _words(
        "Ивановна Петровна Сергеевна Александровна Алексеевна Николаевна Михайловна Дмитриевна Юрьевна"
    ),
    "M": _words(
        "Иванович Петрович Сергеевич Александрович Алексеевич Николаевич Михайлович Дмитриевич Юрьевич"
    ),
}
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_ID_FORMS = ("{:08d}", "{:08d}", "{:08d}", "KH-{:08d}", "P{:08d}X")


@dataclass(frozen=True, slots=True)
class Patient:
    """A patient; `birth` is None where nobody knew the date."""

    number: int
    name: Name
    identifier: str
    sex: str
    birth: date | None


def patient(random: Random, number: int) -> Patient:
    """A new patient; no two numbers below 10⁸ have the same identifier."""
    sex = random.choice("FM")
    scrambled = number * 61_803_399 % 10**8
    return Patient(
        number,
        name(random, sex),
        _ID_FORMS[number % len(_ID_FORMS)].format(scrambled),
        sex if random.random() < 0.99 else "O",
        _birth(random) if random.random() < 0.98 else None,
    )


def name(random: Random, sex: str) -> Name:
    """A name in one of the scripts, Latin most often."""
    write: Callable[[Random, str], Name] = random.choices((_latin, _japanese, _cyrillic), (60, 25, 15))[0]
    return write(random, sex)


def physician(random: Random) -> Name:
    """The name of a physician, with a prefix (PS3.5 6.2.1.1)."""
    groups = dict(name(random, random.choice("FM")))
    parts = groups["Alphabetic"].split("^")
    groups["Alphabetic"] = "^".join((*parts, "", "", "")[:3]) + "^Dr."
    return groups


def _latin(random: Random, sex: str) -> Name:
    """A name as one of several registrars types it: with a middle name or initial, or in capitals."""
    family, given = random.choice(_LATIN_FAMILIES), random.choice(_LATIN_GIVEN[sex])
    written = f"{family}^{given}"
    kind = random.random()
    if kind < 0.2:
        written += f"^{random.choice(_LATIN_GIVEN[sex])}"
    elif kind < 0.3:
        written += f"^{random.choice(_LATIN_GIVEN[sex])[0]}."
    return {"Alphabetic": written.upper() if random.random() < 0.2 else written}


def _japanese(random: Random, sex: str) -> Name:
    """A name in Latin letters, in kanji and in kana, as PS3.5 H.3 has it."""
    family, given = random.choice(_JAPANESE_FAMILIES), random.choice(_JAPANESE_GIVEN[sex])
    parts = zip(family.split(":"), given.split(":"), strict=True)
    return {group: "^".join(part) for group, part in zip(_GROUPS, parts, strict=True)}


def _cyrillic(random: Random, sex: str) -> Name:
    tables = (_CYRILLIC_FAMILIES, _CYRILLIC_GIVEN, _CYRILLIC_FATHERS)
    return {"Alphabetic": "^".join(random.choice(table[sex]) for table in tables)}


def _birth(random: Random) -> date:
    """A date of birth: most patients are old."""
    day = date(1922, 1, 1) + timedelta(days=int(random.triangular(0, 365 * 94, 365 * 32)))
    return min(day, LAST_BIRTH)
