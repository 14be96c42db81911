//! What an Asterisk can do, as data: one row per difference between versions, not one branch.

use super::{AriClient, AriError, AsteriskInfo, AsteriskVersion};

/// A difference between versions that the federation cares about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// The hop into Stasis and back is quick on an unanswered channel (2 ms, not 200 ms).
    QuickStasis,
    /// `redirect_method` of an endpoint can be read back; without it a partial PUT resets the field.
    RedirectMethodReadable,
    /// `qualify_2xx_only` of an aor.
    Qualify2xxOnly,
    /// `password_digest` of an auth.
    PasswordDigest,
    /// `PUT /applications/{app}/eventFilter`.
    EventFilter,
    /// `protocol_id` of a channel: the SIP Call-ID.
    ChannelProtocolId,
    /// `send_contact_status_on_update_registration`: events on refresh.
    RefreshEvents,
    /// REST calls over the WebSocket.
    RestOverWebSocket,
    /// ARI connections that Asterisk opens itself.
    OutboundWebSocket,
    /// An endpoint can be put in maintenance: its REGISTERs get 503.
    EndpointMaintenance,
    /// A header in a redirect's Contact (`?X-Fed=..`) is sent on.
    RedirectHeaders,
    /// chan_sip still exists.
    ChanSip,
}

/// In which versions a feature exists: from the release given on each branch, and on every branch after the last one; an optional first major
/// version without it.
struct Row {
    feature: Feature,
    name: &'static str,
    since: &'static [AsteriskVersion],
    gone_in: Option<u16>,
}

const fn v(major: u16, minor: u16, patch: u16) -> AsteriskVersion {
    AsteriskVersion::new(major, minor, patch)
}

const fn row(feature: Feature, name: &'static str, since: &'static [AsteriskVersion]) -> Row {
    Row {
        feature,
        name,
        since,
        gone_in: None,
    }
}

/// The whole knowledge about versions. Sources: runs of 16.28 and 22.10, and the release notes for what lies between.
const ROWS: &[Row] = &[
    row(Feature::QuickStasis, "quick-stasis", &[v(18, 0, 0)]),
    row(
        Feature::RedirectMethodReadable,
        "redirect-method-readable",
        &[v(18, 0, 0)],
    ),
    row(
        Feature::Qualify2xxOnly,
        "qualify-2xx-only",
        &[v(20, 12, 0), v(21, 7, 0), v(22, 2, 0)],
    ),
    row(
        Feature::PasswordDigest,
        "password-digest",
        &[v(20, 12, 0), v(21, 7, 0), v(22, 2, 0)],
    ),
    row(Feature::EventFilter, "event-filter", &[v(16, 3, 0)]),
    row(
        Feature::ChannelProtocolId,
        "channel-protocol-id",
        &[v(16, 27, 0), v(18, 13, 0)],
    ),
    row(Feature::RefreshEvents, "refresh-events", &[v(16, 2, 0)]),
    row(
        Feature::RestOverWebSocket,
        "rest-over-websocket",
        &[v(20, 14, 0), v(22, 4, 0)],
    ),
    row(
        Feature::OutboundWebSocket,
        "outbound-websocket",
        &[v(20, 15, 0), v(22, 5, 0)],
    ),
    row(
        Feature::EndpointMaintenance,
        "endpoint-maintenance",
        &[v(20, 20, 0), v(22, 10, 0)],
    ),
    row(Feature::RedirectHeaders, "redirect-headers", &[v(22, 0, 0)]),
    Row {
        feature: Feature::ChanSip,
        name: "chan-sip",
        since: &[v(1, 0, 0)],
        gone_in: Some(21),
    },
];

impl Row {
    /// On a branch that is listed, from its release on; between two listed branches, as the lower one never got it, no; after the last, yes.
    fn holds(&self, version: AsteriskVersion) -> bool {
        if self.gone_in.is_some_and(|major| version.major >= major) {
            return false;
        }
        match self.since.iter().find(|s| s.major == version.major) {
            Some(since) => version >= *since,
            None => self.since.last().is_some_and(|last| version > *last),
        }
    }
}

/// What one Asterisk can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Its version.
    pub version: AsteriskVersion,
    features: Vec<Feature>,
}

impl Capabilities {
    /// What this version is known to do.
    pub fn of_version(version: AsteriskVersion) -> Self {
        Self {
            version,
            features: ROWS
                .iter()
                .filter(|row| row.holds(version))
                .map(|row| row.feature)
                .collect(),
        }
    }

    /// True where this Asterisk has the feature.
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    /// Names of its features, for the map and for people.
    pub fn names(&self) -> Vec<&'static str> {
        ROWS.iter()
            .filter(|row| self.has(row.feature))
            .map(|row| row.name)
            .collect()
    }
}

impl AriClient {
    /// Asks the Asterisk what it is and derives what it can do.
    ///
    /// # Errors
    /// As [`AriClient::info`].
    pub async fn capabilities(&self) -> Result<(AsteriskInfo, Capabilities), AriError> {
        let info = self.info().await?;
        let capabilities = Capabilities::of_version(info.version);
        Ok((info, capabilities))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(version: AsteriskVersion, feature: Feature) -> bool {
        Capabilities::of_version(version).has(feature)
    }

    #[test]
    fn features_follow_the_release_of_each_branch() {
        for (version, expected) in [
            (v(16, 28, 0), false),
            (v(20, 11, 9), false),
            (v(20, 12, 0), true),
            (v(21, 6, 0), false),
            (v(21, 7, 0), true),
            (v(22, 1, 0), false),
            (v(22, 10, 1), true),
            (v(23, 0, 0), true),
        ] {
            assert_eq!(has(version, Feature::PasswordDigest), expected, "{version}");
        }
    }

    #[test]
    fn a_branch_without_the_backport_does_not_have_it() {
        assert!(!has(v(21, 9, 0), Feature::RestOverWebSocket));
        assert!(has(v(20, 14, 0), Feature::RestOverWebSocket));
    }

    #[test]
    fn what_16_and_22_differ_in_is_data() {
        assert!(!has(v(16, 28, 0), Feature::QuickStasis));
        assert!(has(v(22, 10, 1), Feature::QuickStasis));
        assert!(has(v(16, 28, 0), Feature::ChanSip));
        assert!(!has(v(22, 10, 1), Feature::ChanSip));
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = ROWS.iter().map(|r| r.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROWS.len());
    }
}
