//! A time out of its parts: PostgreSQL's rules for `time` and `timetz`.

use super::decode::{Met, Reader, Source, field};
use super::moment::Moment;
use super::numbers::offset;
use super::scan::{Parts, Shape};
use super::words::Word;
use super::{BAD, OVERFLOW, TIME_DEPENDENT, Zone};
use crate::error::EvalError;

/// A time and the offset, in seconds west, of the zone it names or else of the session's: an error
/// where that depends on today's date.
pub(super) struct Clock {
    pub micros: i64,
    pub west: Result<i64, EvalError>,
}

/// Reads a time. A date may stand before it; it only matters to the zone.
pub(super) fn decode(parts: &Parts, session: &Zone) -> Result<Clock, EvalError> {
    let mut reader = Reader::new(parts);
    // What PostgreSQL notes when a part turns out to be a date, a time or a zone.
    let last = parts.shape(parts.len().wrapping_sub(1));
    for part in 0..parts.len() {
        let text = parts.text(part);
        let with_date = reader.mask | field::DATE;
        let fields = match parts.shape(part) {
            Some(Shape::Date) => {
                let dated = last == Some(Shape::Date) || parts.shape(1) == Some(Shape::Time);
                if part == 0 && parts.len() >= 2 && dated {
                    reader.date(text)?
                } else if text.starts_with(|c: char| c.is_ascii_digit()) {
                    reader.time_with_zone(text, with_date)?
                } else {
                    reader.zone(text)?
                }
            }
            Some(Shape::Time) => reader.time(text)?,
            Some(Shape::Signed) => {
                reader.west = offset(text)?;
                field::ZONE
            }
            Some(Shape::Number) => match reader.label.take() {
                Some(label) => reader.labelled(label, text)?,
                None => number(&mut reader, text, part, last)?,
            },
            Some(Shape::Word | Shape::SignedWord) => match reader.word(part)? {
                Met::Nothing => continue,
                Met::Fields(fields) => fields,
                Met::Special(Word::Allballs) => {
                    let moment = &mut reader.moment;
                    (moment.hour, moment.minute, moment.second) = (0, 0, 0);
                    field::TIME | field::ZONE
                }
                Met::Special(Word::TimeFollows) => reader.time_follows(part)?,
                Met::Special(_) => return Err(BAD),
            },
            None => return Err(BAD),
        };
        reader.note(fields)?;
    }
    reader.validate()?;
    reader.half_day()?;
    if reader.moment.overflows() {
        return Err(OVERFLOW);
    }
    if !reader.has(field::TIME) {
        return Err(BAD);
    }
    let west = west(&reader, session)?;
    Ok(Clock { micros: reader.moment.of_day(), west })
}

fn number(
    reader: &mut Reader<'_>,
    text: &str,
    part: usize,
    last: Option<Shape>,
) -> Result<u32, EvalError> {
    let mask = reader.mask | field::DATE;
    match text.find('.') {
        Some(_) if part == 0 && reader.parts.len() >= 2 && last == Some(Shape::Date) => {
            reader.date(text)
        }
        Some(at) if at > 2 => reader.run_together(text, mask),
        Some(_) => Err(BAD),
        None if text.len() > 4 => reader.run_together(text, mask),
        None => reader.number(text, false, mask),
    }
}

/// The offset west. The inner error says that it depends on today's date.
fn west(reader: &Reader<'_>, session: &Zone) -> Result<Result<i64, EvalError>, EvalError> {
    let dated = reader.mask & field::DATE;
    let complete = dated == field::DATE;
    let at: Moment = reader.moment;
    let zone = match &reader.source {
        Source::Zone(zone) => {
            if reader.mask & field::SUMMER_WORD != 0 {
                return Err(BAD);
            }
            return match zone.only_offset() {
                Some(offset) => Ok(Ok(-i64::from(offset))),
                None if complete => reader.resolve_zone(session, &at).map(Ok),
                None => Err(BAD),
            };
        }
        Source::Plain if reader.mask & field::ZONE != 0 => return Ok(Ok(reader.west)),
        Source::Plain => session,
        Source::Abbreviation(zone, _) => zone,
    };
    if reader.mask & field::SUMMER_WORD != 0 {
        return Err(BAD);
    }
    match dated {
        field::DATE => reader.resolve_zone(session, &at).map(Ok),
        0 => Ok(zone.present_offset().map(|offset| -i64::from(offset)).ok_or(TIME_DEPENDENT)),
        _ => Err(BAD),
    }
}
