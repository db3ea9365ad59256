//! Times as FAT has them.

/// A date and a time of day, UTC: FAT has no time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Year since 1980, month, day.
    pub(super) date: u16,
    /// Hours, minutes, seconds halved.
    pub(super) time: u16,
    /// The odd second, in hundredths.
    pub(super) hundredths: u8,
}

/// 1980-01-01 00:00:00.
const FIRST: u64 = 315_532_800;
/// 2107-12-31 23:59:59.
const LAST: u64 = 4_354_819_199;

impl Stamp {
    /// `epoch` seconds after 1970; times before 1980 and after 2107 become the nearest there is.
    pub(super) fn of(epoch: u64) -> Self {
        let epoch = epoch.clamp(FIRST, LAST);
        let (days, second) = (epoch / 86400, epoch % 86400);
        let (year, month, day) = civil(days);
        Self {
            date: (((year - 1980) << 9) | (month << 5) | day) as u16,
            time: (((second / 3600) << 11) | ((second / 60 % 60) << 5) | (second % 60 / 2)) as u16,
            hundredths: (second % 2 * 100) as u8,
        }
    }
}

/// Year, month and day, `days` after 1970-01-01, by the calendar of 400 years that begins in March.
const fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year + era * 400 + carry, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(LAST / 86400), (2107, 12, 31));
        let stamp = Stamp::of(1_735_689_600 + 13 * 3600 + 7 * 60 + 9);
        assert_eq!(stamp, Stamp { date: 45 << 9 | 1 << 5 | 1, time: 13 << 11 | 7 << 5 | 4, hundredths: 100 });
        assert_eq!(Stamp::of(0), Stamp { date: 1 << 5 | 1, time: 0, hundredths: 0 });
        assert_eq!(Stamp::of(u64::MAX), Stamp::of(LAST));
    }
}
