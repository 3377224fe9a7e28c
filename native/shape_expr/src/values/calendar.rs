//! Days and dates: the proleptic Gregorian calendar by Julian day numbers, as PostgreSQL has it.

/// The Julian day of 2000-01-01, PostgreSQL's epoch.
pub(crate) const EPOCH_JULIAN: i64 = 2_451_545;
/// The first day PostgreSQL's timestamps know: 4714-11-24 BC.
pub(crate) const MIN_JULIAN: i64 = 0;

/// The Julian day of a date; year 0 is 1 BC.
pub(crate) fn to_julian(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) =
        if month > 2 { (year + 4800, month + 1) } else { (year + 4799, month + 13) };
    let century = year.div_euclid(100);
    let mut julian = year * 365 - 32167;
    julian += year.div_euclid(4) - century + century.div_euclid(4);
    julian + 7834 * month / 256 + day
}

/// Year (0 is 1 BC), month and day of a Julian day.
pub(crate) fn from_julian(julian: i64) -> (i64, i64, i64) {
    // Days since 0000-03-01, by the usual 400-year cycles.
    let days = julian - 1_721_120;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Days of a month.
pub(crate) fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// The Julian day of a year's first day in 32 bits, as PostgreSQL counts it of years it has not yet
/// looked at.
pub(crate) fn first_day_wrapping(year: i32) -> i32 {
    let year = year.wrapping_add(4799);
    let century = year / 100;
    let days = year.wrapping_mul(365).wrapping_sub(32_167);
    days.wrapping_add(year / 4 - century + century / 4).wrapping_add(7834 * 14 / 256 + 1)
}

/// A Julian day that PostgreSQL takes for one without a sign, its calendar beginning in 4801 BC.
pub(crate) fn unsigned_julian(julian: i32) -> i64 {
    i64::from((julian as u32).wrapping_add(32_044)) - 32_044
}
