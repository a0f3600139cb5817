"""The zones that a log may mean by a short name: EDT, IST, GMT+05:30."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from capflog.tzfiles import LAST, NEAR, WELL_KNOWN, alike, best_of, changes_in, known_names, offset_in, rules_of
from capflog.zones import EAST, SECOND_MS, WEST, Zone, named, read_offset

#: The short names that Java has (Date.toString(), as of Java 8) for zones whose abbreviation in tzdata is a number or
#: another: in winter, in summer, the zones. RTMT writes them. Zones where hardly anybody lives are left out.
_JAVA = """
ACT ACST America/Eirunepe America/Rio_Branco
ACWST ACWDT Australia/Eucla
AFT AFST Asia/Kabul
ALMT ALMST Asia/Almaty
AMT AMST America/Boa_Vista America/Campo_Grande America/Cuiaba America/Manaus America/Porto_Velho Asia/Yerevan
ANAT ANAST Asia/Anadyr
AQTT AQTST Asia/Aqtau Asia/Aqtobe
ART ARST America/Argentina/Buenos_Aires America/Argentina/Catamarca America/Argentina/Cordoba America/Argentina/Jujuy
ART ARST America/Argentina/La_Rioja America/Argentina/Mendoza America/Argentina/Rio_Gallegos America/Argentina/Salta
ART ARST America/Argentina/San_Juan America/Argentina/San_Luis America/Argentina/Tucuman America/Argentina/Ushuaia
AST ADT Asia/Aden Asia/Baghdad Asia/Bahrain Asia/Kuwait Asia/Qatar Asia/Riyadh
AZOT AZOST Atlantic/Azores
AZT AZST Asia/Baku
BDT BDST Asia/Dhaka
BNT BNST Asia/Brunei
BOT BOST America/La_Paz
BRT BRST America/Araguaina America/Bahia America/Belem America/Fortaleza America/Maceio America/Recife
BRT BRST America/Santarem America/Sao_Paulo
BST BST Pacific/Bougainville
BTT BTST Asia/Thimphu
CCT CCST Indian/Cocos
CHAST CHADT Pacific/Chatham
CHUT CHUST Pacific/Chuuk
CKT CKHST Pacific/Rarotonga
CLT CLST America/Santiago
COT COST America/Bogota
CVT CVST Atlantic/Cape_Verde
CXT CXST Indian/Christmas
EAST EASST Pacific/Easter
ECT ECST America/Guayaquil
EET EEST Asia/Amman Asia/Damascus Asia/Famagusta
EGT EGST America/Scoresbysund
FJT FJST Pacific/Fiji
FKT FKST Atlantic/Stanley
FNT FNST America/Noronha
GALT GALST Pacific/Galapagos
GAMT GAMST Pacific/Gambier
GET GEST Asia/Tbilisi
GFT GFST America/Cayenne
GILT GILST Pacific/Tarawa
GST GDT Asia/Dubai Asia/Muscat
GYT GYST America/Guyana
HAST HADT America/Adak
HOVT HOVST Asia/Hovd
ICT ICST Asia/Bangkok Asia/Ho_Chi_Minh Asia/Phnom_Penh Asia/Vientiane
IOT IOST Indian/Chagos
IRKT IRKST Asia/Irkutsk
IRST IRDT Asia/Tehran
IST IDT Asia/Colombo
KGT KGST Asia/Bishkek
KOST KOSST Pacific/Kosrae
KRAT KRAST Asia/Krasnoyarsk Asia/Novokuznetsk
LHST LHDT Australia/Lord_Howe
LINT LINST Pacific/Kiritimati
MAGT MAGST Asia/Magadan
MART MARST Pacific/Marquesas
MHT MHST Pacific/Kwajalein Pacific/Majuro
MMT MMST Asia/Yangon
MSK MSD Europe/Minsk Europe/Volgograd
MUT MUST Indian/Mauritius
MVT MVST Indian/Maldives
MYT MYST Asia/Kuala_Lumpur Asia/Kuching
NCT NCST Pacific/Noumea
NFT NFST Pacific/Norfolk
NOVT NOVST Asia/Novosibirsk
NPT NPST Asia/Kathmandu
NRT NRST Pacific/Nauru
NUT NUST Pacific/Niue
OMST OMSST Asia/Omsk
ORAT ORAST Asia/Oral
PET PEST America/Lima
PETT PETST Asia/Kamchatka
PGT PGST Pacific/Port_Moresby
PHOT PHOST Pacific/Kanton
PHT PHST Asia/Manila
PMST PMDT America/Miquelon
PONT PONST Pacific/Pohnpei
PWT PWST Pacific/Palau
PYT PYST America/Asuncion
QOST QOSST Asia/Qostanay
QYZT QYZST Asia/Qyzylorda
RET REST Indian/Reunion
SAKT SAKST Asia/Sakhalin
SAMT SAMST Europe/Samara
SBT SBST Pacific/Guadalcanal
SCT SCST Indian/Mahe
SGT SGST Asia/Singapore
SRET SREDT Asia/Srednekolymsk
SRT SRST America/Paramaribo
TAHT TAHST Pacific/Tahiti
TFT TFST Indian/Kerguelen
TJT TJST Asia/Dushanbe
TKT TKST Pacific/Fakaofo
TLT TLST Asia/Dili
TMT TMST Asia/Ashgabat
TOT TOST Pacific/Tongatapu
TRT TRST Europe/Istanbul
TVT TVST Pacific/Funafuti
ULAT ULAST Asia/Ulaanbaatar
UYT UYST America/Montevideo
UZT UZST Asia/Samarkand Asia/Tashkent
VET VEST America/Caracas
VLAT VLAST Asia/Ust-Nera Asia/Vladivostok
VUT VUST Pacific/Efate
WAKT WAKST Pacific/Wake
WET WEST Africa/Casablanca Africa/El_Aaiun
WFT WFST Pacific/Wallis
WGT WGST America/Nuuk
WSST WSDT Pacific/Apia
WST WDT Pacific/Apia
XJT XJDT Asia/Urumqi
YAKT YAKST Asia/Chita Asia/Khandyga Asia/Yakutsk
YEKT YEKST Asia/Yekaterinburg
"""


def called(abbreviation: str, local: int) -> list[Zone]:
    """Give each zone that calls itself so when its clocks show ``local``, in tzdata or in Java; the best known first.

    Zones that are alike for 400 days before and after are given once. ``GMT+05:30`` is a fixed zone.
    """
    wanted, second = abbreviation.strip().upper(), local // SECOND_MS
    seconds = read_offset(wanted) if wanted.startswith(("GMT", "UTC")) else None
    if seconds is not None:
        return [Zone.fixed(seconds)] if WEST <= seconds <= EAST else []
    if not wanted or not wanted.isascii() or not 0 <= second <= LAST:
        return []
    naive = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None) + timedelta(seconds=second)
    found: set[str] = set()
    for file, names in alike().items():
        # ChST is the only one with a small letter. Most files need not be understood.
        if wanted.encode() in file.upper() and wanted in _abbreviations(names[0], naive):
            found.update(names)
    for line in _JAVA.split("\n"):
        winter, summer, *names = line.split() or ("", "")
        if wanted in {winter, summer}:
            known = (name for name in names if name.lower() in known_names())
            found.update(name for name in known if wanted in _java_names(name, naive, winter, summer))
    same: dict[tuple[object, ...], list[str]] = {}
    for name in sorted(found):
        rules = rules_of(name)
        near = (offset_in(rules, second - NEAR), *changes_in(rules, second - NEAR, second + NEAR))
        same.setdefault(near, []).append(name)
    best = sorted((*best_of(names), -len(names)) for names in same.values())
    # Beyond the best known, that which most places share comes first.
    best.sort(key=lambda zone: (min(zone[0], WELL_KNOWN), zone[2]))
    return [named(name) for _, name, _ in best]


def _abbreviations(name: str, naive: datetime) -> set[str]:
    """Give what a zone calls itself at a local time, both passes of it, in capitals."""
    times = (naive.replace(tzinfo=rules_of(name), fold=fold) for fold in (0, 1))
    return {(when.tzname() or "").upper() for when in times}


def _java_names(name: str, naive: datetime, winter: str, summer: str) -> set[str]:
    """Give which of its two names Java has for a zone at a local time.

    tzdata has zones whose summer is the standard and whose winter is an hour less (Morocco); Java has none.
    """
    rules = rules_of(name)
    zero = timedelta(0)
    given: set[str] = set()
    for fold in (0, 1):
        when = naive.replace(tzinfo=rules, fold=fold)
        saved = when.dst() or zero
        if not saved:
            around = (when + timedelta(days=days) for days in range(-195, 200, 15))
            saved = timedelta(int(any((day.dst() or zero) < zero for day in around)))
        given.add(summer if saved > zero else winter)
    return given
