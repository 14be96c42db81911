//! What Asterisk tells over the event socket, as far as the federation uses it.

use serde::Deserialize;
use serde_json::Value;

use super::Channel;

/// One event. Every event is a hint to look again: they come at most once and are never replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AriEvent {
    /// A registration appeared, changed its reachability or went away.
    ContactStatusChange {
        /// Endpoint id.
        endpoint: String,
        /// Aor id.
        aor: String,
        /// The contact's URI.
        uri: String,
        /// What it became.
        status: ContactStatus,
    },
    /// A peer became reachable or unreachable.
    PeerStatusChange {
        /// `PJSIP`, `IAX2`, `SIP`.
        technology: String,
        /// Endpoint id.
        endpoint: String,
        /// `Reachable`, `Unreachable`, `Registered`, ...
        status: String,
    },
    /// The state of a device changed.
    DeviceStateChanged {
        /// Such as `PJSIP/alice`.
        device: String,
        /// Such as `NOT_INUSE`.
        state: String,
    },
    /// A channel entered the application.
    StasisStart {
        /// The channel.
        channel: Channel,
        /// Arguments of `Stasis()` after the application's name.
        args: Vec<String>,
    },
    /// A channel left the application, or hung up in it.
    StasisEnd {
        /// The channel.
        channel: Channel,
    },
    /// Another socket took this application over; this one gets nothing any more.
    ApplicationReplaced {
        /// Application.
        application: String,
    },
    /// A channel ended.
    ChannelDestroyed {
        /// The channel.
        channel: Channel,
        /// Q.850 cause.
        cause: u16,
    },
    /// Anything else.
    Other {
        /// Its type as Asterisk names it.
        type_: String,
    },
}

/// State of a contact as ContactStatusChange tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContactStatus {
    /// Added, not asked yet.
    Created,
    /// Registered; Asterisk does not ask whether it is there.
    NonQualified,
    /// Answers OPTIONS.
    Reachable,
    /// Does not answer OPTIONS; the registration stands.
    Unreachable,
    /// Gone: unregistered, expired or deleted.
    Removed,
    /// A word this code does not know: look again.
    Unknown,
}

impl ContactStatus {
    fn parse(word: &str) -> Self {
        match word {
            "Created" => Self::Created,
            "NonQualified" => Self::NonQualified,
            "Reachable" | "Updated" => Self::Reachable,
            "Unreachable" => Self::Unreachable,
            "Removed" => Self::Removed,
            _ => Self::Unknown,
        }
    }
}

impl AriEvent {
    /// Reads one message of the socket. Never fails on an unknown event or field, nor on a known event without the fields it needs: these
    /// become [`AriEvent::Other`]. `None` where it is no event at all.
    pub fn parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let type_ = value.get("type")?.as_str()?.to_owned();
        Some(Self::known(&type_, &value).unwrap_or(Self::Other { type_ }))
    }

    fn known(type_: &str, value: &Value) -> Option<Self> {
        let text = |path: &str| value.pointer(path).and_then(Value::as_str).map(str::to_owned);
        Some(match type_ {
            "ContactStatusChange" => Self::ContactStatusChange {
                endpoint: text("/endpoint/resource").unwrap_or_default(),
                aor: text("/contact_info/aor")?,
                uri: text("/contact_info/uri")?,
                status: ContactStatus::parse(&text("/contact_info/contact_status")?),
            },
            "PeerStatusChange" => Self::PeerStatusChange {
                technology: text("/endpoint/technology")?,
                endpoint: text("/endpoint/resource")?,
                status: text("/peer/peer_status")?,
            },
            "DeviceStateChanged" => Self::DeviceStateChanged {
                device: text("/device_state/name")?,
                state: text("/device_state/state")?,
            },
            "StasisStart" => Self::StasisStart {
                channel: channel(value)?,
                args: value
                    .get("args")
                    .and_then(|args| Vec::deserialize(args).ok())
                    .unwrap_or_default(),
            },
            "StasisEnd" => Self::StasisEnd {
                channel: channel(value)?,
            },
            "ApplicationReplaced" => Self::ApplicationReplaced {
                application: text("/application").unwrap_or_default(),
            },
            "ChannelDestroyed" => Self::ChannelDestroyed {
                channel: channel(value)?,
                cause: value
                    .get("cause")
                    .and_then(Value::as_u64)
                    .and_then(|c| u16::try_from(c).ok())
                    .unwrap_or(0),
            },
            _ => return None,
        })
    }
}

fn channel(value: &Value) -> Option<Channel> {
    let channel = Channel::deserialize(value.get("channel")?).ok()?;
    (!channel.id.is_empty()).then_some(channel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_event_of_asterisk_16_is_understood() {
        let event = AriEvent::parse(
            r#"{"application":"fed","contact_info":{"uri":"sip:alice@127.0.0.1:6001","roundtrip_usec":"0","aor":"alice","contact_status":"NonQualified"},
               "type":"ContactStatusChange","endpoint":{"channel_ids":[],"resource":"alice","technology":"PJSIP"},"timestamp":"2026-01-01T00:00:00.000+0000"}"#,
        );
        assert_eq!(
            event,
            Some(AriEvent::ContactStatusChange {
                endpoint: "alice".into(),
                aor: "alice".into(),
                uri: "sip:alice@127.0.0.1:6001".into(),
                status: ContactStatus::NonQualified,
            })
        );
    }

    #[test]
    fn unknown_events_and_fields_are_tolerated() {
        assert_eq!(
            AriEvent::parse(r#"{"type":"BrandNew","x":[1]}"#),
            Some(AriEvent::Other {
                type_: "BrandNew".into()
            })
        );
        let event = AriEvent::parse(
            r#"{"type":"StasisStart","args":["100"],"channel":{"id":"1.2","name":"PJSIP/a-1","future":{}}}"#,
        );
        assert!(matches!(event, Some(AriEvent::StasisStart { channel, args })
            if channel.id == "1.2" && args == ["100"]));
    }

    #[test]
    fn a_known_event_without_its_fields_becomes_other() {
        assert_eq!(
            AriEvent::parse(r#"{"type":"ContactStatusChange"}"#),
            Some(AriEvent::Other {
                type_: "ContactStatusChange".into()
            })
        );
    }

    #[test]
    fn what_is_no_event_is_dropped() {
        for text in ["", "[]", "{}", "not json", r#"{"message":"x"}"#] {
            assert_eq!(AriEvent::parse(text), None, "{text}");
        }
    }
}
