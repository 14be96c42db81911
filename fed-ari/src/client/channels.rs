//! Channels: variables, back into the dialplan, hang-up.

use reqwest::Method;
use serde::Deserialize;

use super::{
    AriClient, AriError,
    http::{Call, encode},
};

/// A channel as events and answers show it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Channel {
    /// Unique id.
    pub id: String,
    /// Name such as `PJSIP/alice-00000001`.
    pub name: String,
    /// `Down`, `Ring`, `Ringing`, `Up`, `Busy` and so on.
    pub state: String,
    /// Who calls.
    pub caller: Party,
    /// Who is connected.
    pub connected: Party,
    /// Where in the dialplan it is.
    pub dialplan: Dialplan,
    /// SIP Call-ID, from 16.27/18.13.
    pub protocol_id: String,
}

/// How far a channel has come that Asterisk made to call somebody, until that somebody answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegState {
    /// Nothing was heard from there yet.
    Silent,
    /// A phone rings.
    Ringing,
}

impl Channel {
    /// `None` for a caller's channel (which is `Ring` before the answer) and for everything that was answered.
    pub fn leg(&self) -> Option<LegState> {
        match self.state.as_str() {
            "Down" => Some(LegState::Silent),
            "Ringing" => Some(LegState::Ringing),
            _ => None,
        }
    }
}

/// Why a channel is hung up, as every version knows it. Asterisk 16 has no `reason_code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HangupReason {
    /// Q.850 16.
    Normal,
    /// Q.850 17.
    Busy,
    /// Q.850 31, which no SIP status becomes. A gateway may send it all the same.
    Unspecified,
}

impl HangupReason {
    const fn word(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Busy => "busy",
            Self::Unspecified => "normal_unspecified",
        }
    }
}

/// A name and a number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Party {
    /// Name for people.
    pub name: String,
    /// Number.
    pub number: String,
}

/// A place in the dialplan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Dialplan {
    /// Context.
    pub context: String,
    /// Extension.
    pub exten: String,
    /// Priority, from 1.
    pub priority: i64,
}

#[derive(Deserialize)]
struct VariableAnswer {
    #[serde(default)]
    value: String,
}

impl AriClient {
    /// Every channel there is now.
    ///
    /// # Errors
    /// As every call.
    pub async fn channels(&self) -> Result<Vec<Channel>, AriError> {
        self.fetch(Call::new(Method::GET, "channels".to_owned(), "the list of channels"))
            .await
    }

    /// One channel, or `None` where there is none of this id (any more).
    ///
    /// # Errors
    /// As every call.
    pub async fn channel(&self, id: &str) -> Result<Option<Channel>, AriError> {
        let call = Call::new(Method::GET, format!("channels/{}", encode(id)), format!("channel {id}")).for_a_call();
        match self.fetch(call).await {
            Err(e) if e.is_not_found() => Ok(None),
            other => other.map(Some),
        }
    }

    /// A channel variable or dialplan function of a channel; `None` where it is not set.
    ///
    /// # Errors
    /// [`AriError::Refused`] with 409 where the channel is not in a Stasis application.
    pub async fn channel_variable(&self, channel: &str, name: &str) -> Result<Option<String>, AriError> {
        let call = Call::new(
            Method::GET,
            format!("channels/{}/variable", encode(channel)),
            format!("variable {name} of channel {channel}"),
        )
        .for_a_call()
        .query("variable", name);
        match self.fetch::<VariableAnswer>(call).await {
            Ok(answer) => Ok(Some(answer.value)),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Sets a channel variable or dialplan function.
    ///
    /// # Errors
    /// [`AriError::NotFound`] where the channel has gone, [`AriError::Refused`] with 409 where it is not in a Stasis application.
    pub async fn set_channel_variable(&self, channel: &str, name: &str, value: &str) -> Result<(), AriError> {
        self.perform(
            Call::new(
                Method::POST,
                format!("channels/{}/variable", encode(channel)),
                format!("variable {name} of channel {channel}"),
            )
            .for_a_call()
            .query("variable", name)
            .query("value", value),
        )
        .await
    }

    /// Leaves Stasis and goes on in the dialplan, after `Stasis()` or at the place given.
    ///
    /// # Errors
    /// [`AriError::NotFound`] where the channel has gone, [`AriError::Refused`] with 409 where it is not in a Stasis application.
    pub async fn continue_in_dialplan(&self, channel: &str, place: Option<&Dialplan>) -> Result<(), AriError> {
        let mut call = Call::new(
            Method::POST,
            format!("channels/{}/continue", encode(channel)),
            format!("the return of channel {channel} into the dialplan"),
        )
        .for_a_call();
        let priority = place.map(|p| p.priority.to_string());
        if let (Some(place), Some(priority)) = (place, &priority) {
            call = call
                .query("context", &place.context)
                .query("extension", &place.exten)
                .query("priority", priority);
        }
        self.perform(call).await
    }

    /// Hangs the channel up; `false` where it had gone already.
    ///
    /// # Errors
    /// As every call.
    pub async fn hangup(&self, channel: &str, why: HangupReason) -> Result<bool, AriError> {
        let call = Call::new(
            Method::DELETE,
            format!("channels/{}", encode(channel)),
            format!("the hang-up of channel {channel}"),
        )
        .for_a_call()
        .query("reason", why.word());
        match self.perform(call).await {
            Ok(()) => Ok(true),
            Err(e) if e.is_not_found() => Ok(false),
            Err(e) => Err(e),
        }
    }
}
