//! When rows of an index expire.

use super::Millis;
use openmldb_wire::common;
use openmldb_wire::r#type::TtlType;

/// Milliseconds in a minute: `abs_ttl` is in minutes.
pub(super) const MINUTE: Millis = 60_000;

/// When the rows of an index expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ttl {
    /// Never.
    #[default]
    Never,
    /// So many milliseconds after they were written.
    Absolute(Millis),
    /// Once so many newer ones have their key.
    Latest(u64),
    /// Once both is so.
    Both(Millis, u64),
    /// Once either is so.
    Either(Millis, u64),
}

impl Ttl {
    /// An index's; 0 stands for never.
    pub fn of(ttl: Option<&common::TtlSt>) -> Self {
        let Some(ttl) = ttl else { return Self::Never };
        let (absolute, latest) = (ttl.abs_ttl() * MINUTE, ttl.lat_ttl());
        match (ttl.ttl_type(), absolute, latest) {
            (TtlType::KAbsoluteTime, 1.., _) | (TtlType::KAbsOrLat, 1.., 0) => Self::Absolute(absolute),
            (TtlType::KLatestTime, _, 1..) | (TtlType::KAbsOrLat, 0, 1..) => Self::Latest(latest),
            (TtlType::KAbsAndLat, 1.., 1..) => Self::Both(absolute, latest),
            (TtlType::KAbsOrLat, 1.., 1..) => Self::Either(absolute, latest),
            _ => Self::Never,
        }
    }

    /// As metadata has it: what is absent there is absent.
    pub fn to_wire(self) -> common::TtlSt {
        let (ttl_type, absolute, latest) = match self {
            Self::Never => (TtlType::KAbsoluteTime, Some(0), None),
            Self::Absolute(millis) => (TtlType::KAbsoluteTime, Some(millis / MINUTE), None),
            Self::Latest(rows) => (TtlType::KLatestTime, None, Some(rows)),
            Self::Both(millis, rows) => (TtlType::KAbsAndLat, Some(millis / MINUTE), Some(rows)),
            Self::Either(millis, rows) => (TtlType::KAbsOrLat, Some(millis / MINUTE), Some(rows)),
        };
        common::TtlSt { ttl_type: Some(ttl_type.into()), abs_ttl: absolute, lat_ttl: latest }
    }

    pub(super) fn counts_newer(self) -> bool {
        matches!(self, Self::Latest(_) | Self::Both(..) | Self::Either(..))
    }

    pub(super) fn has_age(self) -> bool {
        !matches!(self, Self::Never | Self::Latest(_))
    }

    /// Whether a row of this age is gone, `newer` of its key being newer.
    pub(super) fn is_over(self, age: Millis, newer: u64) -> bool {
        match self {
            Self::Never => false,
            Self::Absolute(millis) => age >= millis,
            Self::Latest(rows) => newer >= rows,
            Self::Both(millis, rows) => age >= millis && newer >= rows,
            Self::Either(millis, rows) => age >= millis || newer >= rows,
        }
    }
}
