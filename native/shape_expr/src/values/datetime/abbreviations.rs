//! Time zone abbreviations: PostgreSQL's `timezone_abbreviations = 'Default'`, as
//! `pg_timezone_abbrevs` lists it.

/// What an abbreviation stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Abbreviation {
    /// Seconds east of Greenwich.
    Standard(i32),
    /// The same, and called summer time.
    Summer(i32),
    /// Whatever the abbreviation means in this zone at the time in question.
    Zone(&'static str),
}

use Abbreviation::{Standard, Summer, Zone};

/// By an abbreviation in lower case; only its first ten letters count.
pub(crate) fn abbreviation(name: &str) -> Option<Abbreviation> {
    let name = name.get(..10).unwrap_or(name);
    let found = TABLE.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
    Some(TABLE[found].1)
}

#[rustfmt::skip]
static TABLE: &[(&str, Abbreviation)] = &[
    ("acdt", Summer(37800)), ("acsst", Summer(37800)), ("acst", Standard(34200)),
    ("act", Standard(-18000)), ("acwst", Standard(31500)), ("adt", Summer(-10800)),
    ("aedt", Summer(39600)), ("aesst", Summer(39600)), ("aest", Standard(36000)),
    ("aft", Standard(16200)), ("akdt", Summer(-28800)), ("akst", Standard(-32400)),
    ("almst", Summer(25200)), ("almt", Standard(21600)), ("amst", Zone("Asia/Yerevan")),
    ("amt", Standard(-14400)), ("anast", Zone("Asia/Anadyr")), ("anat", Zone("Asia/Anadyr")),
    ("arst", Zone("America/Argentina/Buenos_Aires")),
    ("art", Zone("America/Argentina/Buenos_Aires")), ("ast", Standard(-14400)),
    ("awsst", Summer(32400)), ("awst", Standard(28800)), ("azost", Summer(0)),
    ("azot", Standard(-3600)), ("azst", Zone("Asia/Baku")), ("azt", Zone("Asia/Baku")),
    ("bdst", Summer(7200)), ("bdt", Standard(21600)), ("bnt", Standard(28800)),
    ("bort", Standard(28800)), ("bot", Standard(-14400)), ("bra", Standard(-10800)),
    ("brst", Summer(-7200)), ("brt", Standard(-10800)), ("bst", Summer(3600)),
    ("btt", Standard(21600)), ("cadt", Summer(37800)), ("cast", Standard(34200)),
    ("cct", Standard(28800)), ("cdt", Summer(-18000)), ("cest", Summer(7200)),
    ("cet", Standard(3600)), ("cetdst", Summer(7200)), ("chadt", Summer(49500)),
    ("chast", Standard(45900)), ("chut", Standard(36000)), ("ckt", Zone("Pacific/Rarotonga")),
    ("clst", Summer(-10800)), ("clt", Zone("America/Santiago")), ("cot", Standard(-18000)),
    ("cst", Standard(-21600)), ("cxt", Standard(25200)), ("davt", Zone("Antarctica/Davis")),
    ("ddut", Standard(36000)), ("easst", Zone("Pacific/Easter")),
    ("east", Zone("Pacific/Easter")), ("eat", Standard(10800)), ("edt", Summer(-14400)),
    ("eest", Summer(10800)), ("eet", Standard(7200)), ("eetdst", Summer(10800)),
    ("egst", Summer(0)), ("egt", Standard(-3600)), ("est", Standard(-18000)),
    ("fet", Standard(10800)), ("fjst", Summer(46800)), ("fjt", Standard(43200)),
    ("fkst", Zone("Atlantic/Stanley")), ("fkt", Zone("Atlantic/Stanley")),
    ("fnst", Summer(-3600)), ("fnt", Standard(-7200)), ("galt", Standard(-21600)),
    ("gamt", Standard(-32400)), ("gest", Zone("Asia/Tbilisi")), ("get", Zone("Asia/Tbilisi")),
    ("gft", Standard(-10800)), ("gilt", Standard(43200)), ("gmt", Standard(0)),
    ("gyt", Zone("America/Guyana")), ("hkt", Standard(28800)), ("hst", Standard(-36000)),
    ("ict", Standard(25200)), ("idt", Summer(10800)), ("iot", Zone("Indian/Chagos")),
    ("irkst", Zone("Asia/Irkutsk")), ("irkt", Zone("Asia/Irkutsk")), ("irt", Standard(12600)),
    ("ist", Standard(7200)), ("jayt", Standard(32400)), ("jst", Standard(32400)),
    ("kdt", Summer(36000)), ("kgst", Summer(21600)), ("kgt", Zone("Asia/Bishkek")),
    ("kost", Zone("Pacific/Kosrae")), ("krast", Zone("Asia/Krasnoyarsk")),
    ("krat", Zone("Asia/Krasnoyarsk")), ("kst", Standard(32400)),
    ("lhdt", Zone("Australia/Lord_Howe")), ("lhst", Standard(37800)), ("ligt", Standard(36000)),
    ("lint", Zone("Pacific/Kiritimati")), ("lkt", Zone("Asia/Colombo")),
    ("magst", Zone("Asia/Magadan")), ("magt", Zone("Asia/Magadan")), ("mart", Standard(-34200)),
    ("mawt", Zone("Antarctica/Mawson")), ("mdt", Summer(-21600)), ("mest", Summer(7200)),
    ("mesz", Summer(7200)), ("met", Standard(3600)), ("metdst", Summer(7200)),
    ("mez", Standard(3600)), ("mht", Standard(43200)), ("mmt", Standard(23400)),
    ("mpt", Standard(36000)), ("msd", Summer(14400)), ("msk", Zone("Europe/Moscow")),
    ("mst", Standard(-25200)), ("must", Summer(18000)), ("mut", Standard(14400)),
    ("mvt", Standard(18000)), ("myt", Standard(28800)), ("ndt", Summer(-9000)),
    ("nft", Standard(-12600)), ("novst", Zone("Asia/Novosibirsk")),
    ("novt", Zone("Asia/Novosibirsk")), ("npt", Standard(20700)), ("nst", Standard(-12600)),
    ("nut", Zone("Pacific/Niue")), ("nzdt", Summer(46800)), ("nzst", Standard(43200)),
    ("nzt", Standard(43200)), ("omsst", Zone("Asia/Omsk")), ("omst", Zone("Asia/Omsk")),
    ("pdt", Summer(-25200)), ("pet", Standard(-18000)), ("petst", Zone("Asia/Kamchatka")),
    ("pett", Zone("Asia/Kamchatka")), ("pgt", Standard(36000)), ("pht", Standard(28800)),
    ("pkst", Summer(21600)), ("pkt", Standard(18000)), ("pmdt", Summer(-7200)),
    ("pmst", Standard(-10800)), ("pont", Standard(39600)), ("pst", Standard(-28800)),
    ("pwt", Standard(32400)), ("pyst", Summer(-10800)), ("pyt", Zone("America/Asuncion")),
    ("ret", Standard(14400)), ("sadt", Summer(37800)), ("sast", Standard(7200)),
    ("sct", Standard(14400)), ("sgt", Zone("Asia/Singapore")), ("taht", Standard(-36000)),
    ("tft", Standard(18000)), ("tjt", Standard(18000)), ("tkt", Zone("Pacific/Fakaofo")),
    ("tmt", Zone("Asia/Ashgabat")), ("tot", Standard(46800)), ("trut", Standard(36000)),
    ("tvt", Standard(43200)), ("uct", Standard(0)), ("ulast", Summer(32400)),
    ("ulat", Zone("Asia/Ulaanbaatar")), ("ut", Standard(0)), ("utc", Standard(0)),
    ("uyst", Summer(-7200)), ("uyt", Standard(-10800)), ("uzst", Summer(21600)),
    ("uzt", Standard(18000)), ("vet", Zone("America/Caracas")),
    ("vlast", Zone("Asia/Vladivostok")), ("vlat", Zone("Asia/Vladivostok")),
    ("volt", Zone("Europe/Volgograd")), ("vut", Standard(39600)), ("wadt", Summer(28800)),
    ("wakt", Standard(43200)), ("wast", Standard(25200)), ("wat", Standard(3600)),
    ("wdt", Summer(32400)), ("wet", Standard(0)), ("wetdst", Summer(3600)),
    ("wft", Standard(43200)), ("wgst", Summer(-7200)), ("wgt", Standard(-10800)),
    ("xjt", Standard(21600)), ("yakst", Zone("Asia/Yakutsk")), ("yakt", Zone("Asia/Yakutsk")),
    ("yapt", Standard(36000)), ("yekst", Summer(21600)), ("yekt", Zone("Asia/Yekaterinburg")),
    ("z", Standard(0)), ("zulu", Standard(0)),
];
