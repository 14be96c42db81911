//! The events of the simulated Asterisk: what they look like and who gets them.

use std::collections::HashSet;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::channel::Channel;

/// A connected application.
pub(crate) struct App {
    pub(crate) sender: mpsc::UnboundedSender<String>,
    pub(crate) sources: HashSet<String>,
    pub(crate) all: bool,
    /// Types that its filter lets through; `None` for no filter.
    pub(crate) allowed: Option<HashSet<String>>,
    /// Tells one socket's life from the next one's.
    pub(crate) connection: u64,
}

impl App {
    /// Sends the event where one of its sources is subscribed.
    pub(crate) fn offer(&self, application: &str, sources: &[String], event: &Value) {
        if self.all || sources.iter().any(|s| self.sources.contains(s)) {
            self.tell(application, event);
        }
    }

    /// Sends the event regardless of subscriptions.
    pub(crate) fn tell(&self, application: &str, event: &Value) {
        let type_ = event["type"].as_str().unwrap_or_default();
        if self.allowed.as_ref().is_some_and(|allowed| !allowed.contains(type_)) {
            return;
        }
        let mut event = event.clone();
        event["application"] = application.into();
        event["asterisk_id"] = "00:00:00:00:00:00".into();
        // A closed socket is noticed by its own task.
        let _ = self.sender.send(event.to_string());
    }

    /// The application as `/applications` shows it.
    pub(crate) fn describe(&self, name: &str) -> Value {
        let of = |kind: &str| -> Vec<&str> { self.sources.iter().filter_map(|s| s.strip_prefix(kind)).collect() };
        let allowed: Vec<Value> = self.allowed.iter().flatten().map(|t| json!({ "type": t })).collect();
        json!({ "name": name, "channel_ids": of("channel:"), "bridge_ids": of("bridge:"), "endpoint_ids": of("endpoint:"),
                "device_names": of("deviceState:"), "events_allowed": allowed, "events_disallowed": [] })
    }
}

/// The sources under which events about an endpoint are subscribed.
pub(crate) fn endpoint_sources(endpoint: &str) -> Vec<String> {
    vec!["endpoint:PJSIP".to_owned(), format!("endpoint:PJSIP/{endpoint}")]
}

/// An endpoint as events and answers show it.
pub(crate) fn endpoint(name: &str, state: &str, channels: &[String]) -> Value {
    json!({ "technology": "PJSIP", "resource": name, "state": state, "channel_ids": channels })
}

/// `EndpointStateChange`.
pub(crate) fn endpoint_state(name: &str, state: &str) -> Value {
    json!({ "type": "EndpointStateChange", "endpoint": endpoint(name, state, &[]) })
}

/// `PeerStatusChange`.
pub(crate) fn peer_status(name: &str, online: bool) -> Value {
    let (state, status) = if online {
        ("online", "Reachable")
    } else {
        ("offline", "Unreachable")
    };
    json!({ "type": "PeerStatusChange", "endpoint": endpoint(name, state, &[]), "peer": { "peer_status": status } })
}

/// `ContactStatusChange`.
pub(crate) fn contact_status(name: &str, online: bool, aor: &str, uri: &str, status: &str) -> Value {
    let state = if online { "online" } else { "offline" };
    json!({ "type": "ContactStatusChange", "endpoint": endpoint(name, state, &[]),
            "contact_info": { "uri": uri, "contact_status": status, "aor": aor, "roundtrip_usec": "0" } })
}

/// `ChannelDestroyed`.
pub(crate) fn channel_destroyed(channel: &Channel) -> Value {
    json!({ "type": "ChannelDestroyed", "cause": channel.cause(), "cause_txt": "", "channel": channel.describe() })
}

/// `DeviceStateChanged`.
pub(crate) fn device_state(device: &str, state: &str) -> Value {
    json!({ "type": "DeviceStateChanged", "device_state": { "name": device, "state": state } })
}
