//! A date or timestamp out of its parts: PostgreSQL's rules, with DateStyle `ISO, MDY`.

use super::moment::Moment;
use super::numbers::{atoi, clock, int, offset};
use super::scan::{Parts, Shape, fraction, fraction_micros};
use super::words::{self, Unit, Word};
use super::{Abbreviation, BAD, DAY, OVERFLOW, TIME_DEPENDENT, Zone, abbreviation};
use crate::error::{EvalError, Raise};
use crate::values::calendar;

const UNKNOWN_ZONE: EvalError = EvalError::new(Raise::InvalidParameter);

/// Sets of fields, one bit each.
pub(super) mod field {
    pub const MONTH: u32 = 1 << 0;
    pub const YEAR: u32 = 1 << 1;
    pub const DAY: u32 = 1 << 2;
    pub const ZONE: u32 = 1 << 3;
    pub const SUMMER: u32 = 1 << 4;
    pub const HALF: u32 = 1 << 5;
    pub const HOUR: u32 = 1 << 6;
    pub const MINUTE: u32 = 1 << 7;
    pub const SECOND: u32 = 1 << 8;
    pub const SUBSECOND: u32 = 1 << 9;
    pub const DAY_OF_YEAR: u32 = 1 << 10;
    pub const WEEKDAY: u32 = 1 << 11;
    pub const ERA: u32 = 1 << 12;
    pub const SUMMER_WORD: u32 = 1 << 13;
    pub const DYNAMIC: u32 = 1 << 14;
    /// A word that stands for a moment; dates beside it do not count.
    pub const MOMENT: u32 = 1 << 15;
    pub const DATE: u32 = YEAR | MONTH | DAY;
    pub const SECONDS: u32 = SECOND | SUBSECOND;
    pub const TIME: u32 = HOUR | MINUTE | SECONDS;
}

/// What a text says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Decoded {
    /// A local time and its zone's offset, in seconds *west*.
    Moment(Moment, i64),
    Epoch,
    Infinity,
    NegativeInfinity,
}

/// Where the offset is to come from.
pub(super) enum Source {
    /// From the text's own number, or from the session.
    Plain,
    /// From this zone, once the date is known.
    Zone(Zone),
    /// From this zone's meaning of the abbreviation in that part of the text.
    Abbreviation(Zone, usize),
}

/// The state both readers share.
pub(super) struct Reader<'p> {
    pub parts: &'p Parts,
    pub mask: u32,
    pub moment: Moment,
    /// Seconds west.
    pub west: i64,
    pub source: Source,
    /// A label that the next number belongs to; `Timezone` stands for `t`.
    pub label: Option<Unit>,
    pub afternoon: Option<bool>,
    before_christ: bool,
    julian: bool,
    two_digits: bool,
    text_month: bool,
    day_of_year: i64,
}

/// What a word came to.
pub(super) enum Met {
    /// These fields.
    Fields(u32),
    Nothing,
    Special(Word),
}

impl<'p> Reader<'p> {
    pub(super) fn new(parts: &'p Parts) -> Reader<'p> {
        Reader {
            parts,
            mask: 0,
            moment: Moment::default(),
            west: 0,
            source: Source::Plain,
            label: None,
            afternoon: None,
            before_christ: false,
            julian: false,
            two_digits: false,
            text_month: false,
            day_of_year: 0,
        }
    }

    pub(super) fn has(&self, fields: u32) -> bool {
        self.mask & fields == fields
    }

    /// Each field may be given once.
    pub(super) fn note(&mut self, fields: u32) -> Result<(), EvalError> {
        if self.mask & fields != 0 {
            return Err(BAD);
        }
        self.mask |= fields;
        Ok(())
    }

    /// `2024-05-06`, `6-May-2024`, `5/6/2024`, `2024.127`.
    pub(super) fn date(&mut self, text: &str) -> Result<u32, EvalError> {
        let mut pieces: [&str; 25] = [""; 25];
        let mut count = 0;
        let mut rest = text;
        while !rest.is_empty() && count < pieces.len() {
            rest = rest.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
            let Some(first) = rest.bytes().next() else { return Err(BAD) };
            let is = |c: char| match first.is_ascii_digit() {
                true => c.is_ascii_digit(),
                false => c.is_ascii_alphabetic(),
            };
            let end = rest.find(|c| !is(c)).unwrap_or(rest.len());
            pieces[count] = &rest[..end];
            count += 1;
            // What ends a piece is dropped, whatever it is.
            rest = rest.get(end + 1..).unwrap_or("");
        }
        let mut found = 0;
        let mut mask = self.mask;
        let mut text_month = false;
        for piece in &mut pieces[..count] {
            if !piece.starts_with(|c: char| c.is_ascii_alphabetic()) {
                continue;
            }
            match words::word(piece) {
                Some(Word::Filler) => continue,
                Some(Word::Month(month)) => self.moment.month = month,
                _ => return Err(BAD),
            }
            text_month = true;
            if mask & field::MONTH != 0 {
                return Err(BAD);
            }
            mask |= field::MONTH;
            found |= field::MONTH;
            *piece = "";
        }
        for piece in pieces[..count].iter().filter(|piece| !piece.is_empty()) {
            let fields = self.number(piece, text_month, mask)?;
            if mask & fields != 0 {
                return Err(BAD);
            }
            mask |= fields;
            found |= fields;
        }
        match mask & !(field::DAY_OF_YEAR | field::ZONE) == field::DATE {
            true => Ok(found),
            false => Err(BAD),
        }
    }

    /// `10:11`, `10:11:12.5`, `10:11.5` (minutes and seconds).
    pub(super) fn time(&mut self, text: &str) -> Result<u32, EvalError> {
        let (hour, minute, second, micros) = clock(text, false)?;
        if hour > i64::from(i32::MAX) {
            return Err(OVERFLOW);
        }
        self.moment.hour = hour;
        self.moment.minute = minute;
        self.moment.second = second;
        self.moment.micros = micros;
        Ok(field::TIME)
    }

    /// One number of a date whose fields come one by one.
    pub(super) fn number(
        &mut self,
        text: &str,
        text_month: bool,
        mask: u32,
    ) -> Result<u32, EvalError> {
        let (value, rest) = int(text)?;
        if rest.len() == text.len() {
            return Err(BAD);
        }
        if rest.starts_with('.') {
            if text.len() - rest.len() > 2 {
                return self.run_together(text, mask | field::DATE);
            }
            self.moment.micros = fraction_micros(rest)?;
        } else if !rest.is_empty() {
            return Err(BAD);
        }
        let date = mask & field::DATE;
        if text.len() == 3 && date == field::YEAR && (1..=366).contains(&value) {
            self.day_of_year = value;
            return Ok(field::DAY_OF_YEAR | field::MONTH | field::DAY);
        }
        let length = text.len();
        const YEAR_MONTH: u32 = field::YEAR | field::MONTH;
        const MONTH_DAY: u32 = field::MONTH | field::DAY;
        let which = match date {
            0 if length >= 3 => field::YEAR,
            0 => field::MONTH,
            field::YEAR => field::MONTH,
            field::MONTH if text_month && length >= 3 => field::YEAR,
            field::MONTH => field::DAY,
            YEAR_MONTH if text_month && length >= 3 && self.two_digits => {
                // What was taken for the year was the day.
                self.moment.day = self.moment.year;
                self.moment.year = value;
                self.two_digits = false;
                return Ok(field::DAY);
            }
            YEAR_MONTH => field::DAY,
            field::DAY => field::MONTH,
            MONTH_DAY => field::YEAR,
            field::DATE => return self.run_together(text, mask),
            _ => return Err(BAD),
        };
        match which {
            field::YEAR => {
                self.moment.year = value;
                self.two_digits = length <= 2;
            }
            field::MONTH => self.moment.month = value,
            _ => self.moment.day = value,
        }
        Ok(which)
    }

    /// `20240506`, `101112.5`, `1011`.
    pub(super) fn run_together(&mut self, text: &str, mask: u32) -> Result<u32, EvalError> {
        let (digits, point) = match text.find('.') {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let length = digits.len();
        if !point.is_empty() {
            let end = 1 + point[1..].bytes().take_while(u8::is_ascii_digit).count();
            self.moment.micros = fraction_micros(&point[..end])?;
        } else if mask & field::DATE != field::DATE && length >= 6 {
            self.moment.day = atoi(&digits[length - 2..]);
            self.moment.month = atoi(&digits[length - 4..length - 2]);
            self.moment.year = atoi(&digits[..length - 4]);
            if length == 6 {
                self.two_digits = true;
            }
            return Ok(field::DATE);
        }
        if mask & field::TIME != field::TIME && (length == 6 || length == 4) {
            self.moment.hour = atoi(&digits[..2]);
            self.moment.minute = atoi(&digits[2..4]);
            self.moment.second = atoi(&digits[4..]);
            return Ok(field::TIME);
        }
        Err(BAD)
    }

    /// A number behind a label, as in `y2024m05d06`, `J2451187`, `T101112`.
    pub(super) fn labelled(&mut self, label: Unit, text: &str) -> Result<u32, EvalError> {
        let (value, rest) = int(text)?;
        let point = rest.starts_with('.');
        if point && !matches!(label, Unit::Julian | Unit::Timezone | Unit::Second) {
            return Err(BAD);
        }
        if !point && !rest.is_empty() {
            return Err(BAD);
        }
        Ok(match label {
            Unit::Year => {
                self.moment.year = value;
                field::YEAR
            }
            // A second `m` after an hour means minutes.
            Unit::Month if self.has(field::MONTH | field::HOUR) => {
                self.moment.minute = value;
                field::MINUTE
            }
            Unit::Month => {
                self.moment.month = value;
                field::MONTH
            }
            Unit::Day => {
                self.moment.day = value;
                field::DAY
            }
            Unit::Hour => {
                self.moment.hour = value;
                field::HOUR
            }
            Unit::Minute => {
                self.moment.minute = value;
                field::MINUTE
            }
            Unit::Second => {
                self.moment.second = value;
                if point {
                    self.moment.micros = fraction_micros(rest)?;
                    field::SECONDS
                } else {
                    field::SECOND
                }
            }
            Unit::Julian => {
                self.moment.set_julian(value);
                self.julian = true;
                if point {
                    self.moment.set_of_day((fraction(rest)? * DAY as f64) as i64);
                    field::DATE | field::TIME
                } else {
                    field::DATE
                }
            }
            Unit::Timezone => match self.run_together(text, self.mask | field::DATE)? {
                field::TIME => field::TIME,
                _ => return Err(BAD),
            },
            _ => return Err(BAD),
        })
    }

    /// `hhmmss-zz`.
    pub(super) fn time_with_zone(&mut self, text: &str, mask: u32) -> Result<u32, EvalError> {
        if self.has(field::TIME) {
            return Err(BAD);
        }
        let at = text.find('-').ok_or(BAD)?;
        self.west = offset(&text[at..])?;
        Ok(self.run_together(&text[..at], mask)? | field::ZONE)
    }

    /// `j2451187-08`: a Julian day and a zone.
    fn julian_with_zone(&mut self, text: &str) -> Result<u32, EvalError> {
        let (value, rest) = int(text)?;
        if value < 0 {
            return Err(OVERFLOW);
        }
        self.moment.set_julian(value);
        self.julian = true;
        self.west = offset(rest)?;
        self.label = None;
        Ok(field::DATE | field::TIME | field::ZONE)
    }

    /// A zone by its full name.
    pub(super) fn zone(&mut self, name: &str) -> Result<u32, EvalError> {
        self.source = Source::Zone(Zone::named(name).ok_or(UNKNOWN_ZONE)?);
        Ok(field::ZONE)
    }

    /// What date and time texts make of a word.
    pub(super) fn word(&mut self, part: usize) -> Result<Met, EvalError> {
        let parts = self.parts;
        let text = parts.text(part);
        if let Some(abbreviation) = abbreviation(text) {
            return Ok(Met::Fields(match abbreviation {
                Abbreviation::Standard(east) => {
                    self.west = -i64::from(east);
                    field::ZONE
                }
                Abbreviation::Summer(east) => {
                    self.west = -i64::from(east);
                    field::ZONE | field::SUMMER
                }
                Abbreviation::Zone(name) => {
                    let zone = Zone::named(name).ok_or(UNKNOWN_ZONE)?;
                    self.source = Source::Abbreviation(zone, part);
                    field::ZONE | field::DYNAMIC
                }
            }));
        }
        let Some(word) = words::word(text) else {
            self.source = Source::Zone(Zone::named(text).ok_or(BAD)?);
            return Ok(Met::Fields(field::ZONE));
        };
        Ok(match word {
            Word::Filler => Met::Nothing,
            Word::SummerTime => {
                self.west -= 3600;
                Met::Fields(field::SUMMER_WORD | field::SUMMER)
            }
            Word::Pm(afternoon) => {
                self.afternoon = Some(afternoon);
                Met::Fields(field::HALF)
            }
            Word::Bc(before_christ) => {
                self.before_christ = before_christ;
                Met::Fields(field::ERA)
            }
            Word::Label(unit) => {
                self.label = Some(unit);
                Met::Fields(0)
            }
            Word::Now => return Err(TIME_DEPENDENT),
            word => Met::Special(word),
        })
    }

    /// Is the next part one that `t` may stand before?
    pub(super) fn time_follows(&mut self, part: usize) -> Result<u32, EvalError> {
        match self.parts.shape(part + 1) {
            Some(Shape::Number | Shape::Time | Shape::Date) => {
                self.label = Some(Unit::Timezone);
                Ok(0)
            }
            _ => Err(BAD),
        }
    }

    fn month_name(&mut self, month: i64) -> u32 {
        let moment = &mut self.moment;
        let mut fields = field::MONTH;
        let taken = self.mask & field::MONTH != 0 && self.mask & field::DAY == 0;
        // A number taken for the month was the day.
        if taken && !self.text_month && (1..=31).contains(&moment.month) {
            moment.day = moment.month;
            fields = field::DAY;
        }
        self.text_month = true;
        moment.month = month;
        fields
    }

    /// Checks and completes the date.
    pub(super) fn validate(&mut self) -> Result<(), EvalError> {
        let (mask, moment) = (self.mask, &mut self.moment);
        if mask & field::YEAR != 0 && !self.julian {
            let year = moment.year;
            if self.before_christ {
                if year <= 0 {
                    return Err(OVERFLOW);
                }
                moment.year = 1 - year;
            } else if self.two_digits {
                moment.year = match year {
                    ..0 => return Err(OVERFLOW),
                    0..70 => year + 2000,
                    70..100 => year + 1900,
                    _ => year,
                };
            } else if year <= 0 {
                return Err(OVERFLOW);
            }
        }
        if mask & field::DAY_OF_YEAR != 0 {
            let first = calendar::first_day_wrapping(moment.year as i32);
            let day = first.wrapping_add(self.day_of_year as i32 - 1);
            moment.set_julian(calendar::unsigned_julian(day));
        }
        let bad_month = mask & field::MONTH != 0 && !(1..=12).contains(&moment.month);
        let bad_day = mask & field::DAY != 0 && !(1..=31).contains(&moment.day);
        if bad_month || bad_day {
            return Err(OVERFLOW);
        }
        let complete = mask & field::DATE == field::DATE;
        if complete && moment.day > calendar::month_days(moment.year, moment.month) {
            return Err(OVERFLOW);
        }
        Ok(())
    }

    pub(super) fn half_day(&mut self) -> Result<(), EvalError> {
        let Some(afternoon) = self.afternoon else { return Ok(()) };
        let hour = &mut self.moment.hour;
        match (afternoon, *hour) {
            (_, 13..) => return Err(OVERFLOW),
            (false, 12) => *hour = 0,
            (true, 12) | (false, _) => {}
            (true, _) => *hour += 12,
        }
        Ok(())
    }

    /// The zone's offset west, at this local time.
    pub(super) fn resolve_zone(&self, session: &Zone, at: &Moment) -> Result<i64, EvalError> {
        let summer_word = self.mask & field::SUMMER_WORD != 0;
        let seconds = at.local_seconds();
        let offset = |zone: &Zone| seconds.map_or(0, |seconds| zone.offset_of_local(seconds));
        let zone = match &self.source {
            Source::Plain if self.mask & field::ZONE != 0 => return Ok(self.west),
            _ if summer_word => return Err(BAD),
            Source::Plain => session,
            Source::Zone(zone) => zone,
            Source::Abbreviation(zone, part) => {
                let usual = offset(zone);
                let at = seconds.unwrap_or(0) - i64::from(usual);
                let called = zone.offset_called(self.parts.text(*part), at);
                return Ok(-i64::from(called.unwrap_or(usual)));
            }
        };
        Ok(-i64::from(offset(zone)))
    }
}

/// A date or timestamp. Without a zone of its own it is in the session's.
pub(super) fn decode(parts: &Parts, session: &Zone) -> Result<Decoded, EvalError> {
    let mut reader = Reader::new(parts);
    let mut result = None;
    for part in 0..parts.len() {
        let text = parts.text(part);
        let fields = match parts.shape(part) {
            Some(Shape::Date) if reader.label == Some(Unit::Julian) => {
                reader.julian_with_zone(text)?
            }
            Some(Shape::Date)
                if reader.label.is_some() || reader.has(field::MONTH | field::DAY) =>
            {
                let labelled = reader.label.take();
                if labelled.is_some() || text.starts_with(|c: char| c.is_ascii_digit()) {
                    if labelled.is_some_and(|label| label != Unit::Timezone) {
                        return Err(BAD);
                    }
                    reader.time_with_zone(text, reader.mask)?
                } else {
                    reader.zone(text)?
                }
            }
            Some(Shape::Date) => reader.date(text)?,
            Some(Shape::Time) => {
                if reader.label.take().is_some_and(|label| label != Unit::Timezone) {
                    return Err(BAD);
                }
                let fields = reader.time(text)?;
                if reader.moment.overflows() {
                    return Err(OVERFLOW);
                }
                fields
            }
            Some(Shape::Signed) => {
                reader.west = offset(text)?;
                field::ZONE
            }
            Some(Shape::Number) => match reader.label.take() {
                Some(label) => {
                    let fields = reader.labelled(label, text)?;
                    result = None;
                    fields
                }
                None => number(&mut reader, text)?,
            },
            Some(Shape::Word | Shape::SignedWord) => match reader.word(part)? {
                Met::Nothing => continue,
                Met::Fields(fields) => fields,
                Met::Special(word) => special(&mut reader, word, part, &mut result)?,
            },
            None => return Err(BAD),
        };
        reader.note(fields)?;
    }
    reader.validate()?;
    reader.half_day()?;
    if let Some(result) = result {
        return Ok(result);
    }
    if !reader.has(field::DATE) {
        return Err(BAD);
    }
    let west = reader.resolve_zone(session, &reader.moment)?;
    Ok(Decoded::Moment(reader.moment, west))
}

fn number(reader: &mut Reader<'_>, text: &str) -> Result<u32, EvalError> {
    let point = text.find('.');
    match point {
        Some(_) if reader.mask & field::DATE == 0 => reader.date(text),
        Some(at) if at > 2 => reader.run_together(text, reader.mask),
        _ if text.len() >= 6 && !complete_either(reader) => reader.run_together(text, reader.mask),
        _ => reader.number(text, reader.text_month, reader.mask),
    }
}

/// Is something known of both the date and the time?
fn complete_either(reader: &Reader<'_>) -> bool {
    reader.mask & field::DATE != 0 && reader.mask & field::TIME != 0
}

fn special(
    reader: &mut Reader<'_>,
    word: Word,
    part: usize,
    result: &mut Option<Decoded>,
) -> Result<u32, EvalError> {
    Ok(match word {
        Word::Month(month) => reader.month_name(month),
        Word::Weekday => field::WEEKDAY,
        Word::TimeFollows if reader.has(field::DATE) => reader.time_follows(part)?,
        Word::Allballs => {
            let moment = &mut reader.moment;
            (moment.hour, moment.minute, moment.second) = (0, 0, 0);
            reader.west = 0;
            *result = None;
            field::TIME | field::ZONE
        }
        Word::Epoch => {
            *result = Some(Decoded::Epoch);
            field::MOMENT
        }
        Word::Infinity => {
            *result = Some(Decoded::Infinity);
            field::MOMENT
        }
        Word::NegativeInfinity => {
            *result = Some(Decoded::NegativeInfinity);
            field::MOMENT
        }
        _ => return Err(BAD),
    })
}
