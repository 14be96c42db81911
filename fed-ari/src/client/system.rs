//! Asterisk itself: what it is, its modules, its global variables.

use reqwest::Method;
use serde::Deserialize;

use super::{
    AriClient, AriError, AsteriskVersion,
    http::{Call, encode},
};

/// What an Asterisk says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsteriskInfo {
    /// Its version as numbers.
    pub version: AsteriskVersion,
    /// Its version in its own words.
    pub version_text: String,
    /// `systemname` of asterisk.conf, or empty.
    pub system_name: String,
    /// Entity id (`entityid` of asterisk.conf), or empty where this version does not tell.
    pub entity_id: String,
    /// When it started, in its own words; differs after every restart.
    pub started: String,
}

/// Modules that fed-node and the generated dialplan need, by file name.
pub const MODULES_NEEDED: [&str; 15] = [
    "res_ari.so",
    "res_stasis.so",
    "res_pjsip.so",
    "res_pjsip_registrar.so",
    "chan_pjsip.so",
    "pbx_config.so",
    "res_agi.so",
    "app_dial.so",
    "app_stack.so",
    "func_cut.so",
    "func_dialplan.so",
    "func_global.so",
    "func_logic.so",
    "func_strings.so",
    "func_timeout.so",
];

/// A loadable module.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Module {
    /// File name, such as `res_pjsip.so`.
    pub name: String,
    /// `Running`, `Not Running`, `Declined`.
    #[serde(default)]
    pub status: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct InfoAnswer {
    system: SystemAnswer,
    config: ConfigAnswer,
    status: StatusAnswer,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SystemAnswer {
    version: String,
    entity_id: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ConfigAnswer {
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct StatusAnswer {
    startup_time: String,
}

#[derive(Deserialize)]
struct VariableAnswer {
    #[serde(default)]
    value: String,
}

impl AriClient {
    /// Version, names and start time.
    ///
    /// # Errors
    /// [`AriError::Malformed`] where the answer holds no version.
    pub async fn info(&self) -> Result<AsteriskInfo, AriError> {
        let object = "Asterisk's description of itself";
        let answer: InfoAnswer = self
            .fetch(Call::new(Method::GET, "asterisk/info".to_owned(), object).beside_others())
            .await?;
        let version = answer
            .system
            .version
            .parse()
            .map_err(|e: super::InvalidVersion| AriError::Malformed {
                object: object.to_owned(),
                why: e.to_string(),
            })?;
        Ok(AsteriskInfo {
            version,
            version_text: answer.system.version,
            system_name: answer.config.name,
            entity_id: answer.system.entity_id,
            started: answer.status.startup_time,
        })
    }

    /// A cheap sign of life (`/asterisk/ping` where there is one, else the description).
    ///
    /// # Errors
    /// As every call; any answer that is not one counts as not alive.
    pub async fn ping(&self) -> Result<(), AriError> {
        let call = Call::new(Method::GET, "asterisk/ping".to_owned(), "a sign of life").beside_others();
        match self.perform(call).await {
            Err(e) if e.is_not_found() => self.info().await.map(drop),
            other => other,
        }
    }

    /// Every module with its state.
    ///
    /// # Errors
    /// As every call.
    pub async fn modules(&self) -> Result<Vec<Module>, AriError> {
        self.fetch(Call::new(
            Method::GET,
            "asterisk/modules".to_owned(),
            "the list of modules",
        ))
        .await
    }

    /// Makes a module read its configuration again.
    ///
    /// # Errors
    /// [`AriError::Refused`] with 409 where the module cannot or will not.
    pub async fn reload_module(&self, module: &str) -> Result<(), AriError> {
        self.perform(Call::new(
            Method::PUT,
            format!("asterisk/modules/{}", encode(module)),
            format!("the reload of module {module}"),
        ))
        .await
    }

    /// Sets a global variable of the dialplan.
    ///
    /// # Errors
    /// As every call.
    pub async fn set_global(&self, name: &str, value: &str) -> Result<(), AriError> {
        self.perform(
            Call::new(
                Method::POST,
                "asterisk/variable".to_owned(),
                format!("global variable {name}"),
            )
            .query("variable", name)
            .query("value", value),
        )
        .await
    }

    /// Reads a global variable; an unset one is empty.
    ///
    /// # Errors
    /// As every call.
    pub async fn get_global(&self, name: &str) -> Result<String, AriError> {
        let answer: VariableAnswer = self
            .fetch(
                Call::new(
                    Method::GET,
                    "asterisk/variable".to_owned(),
                    format!("global variable {name}"),
                )
                .query("variable", name),
            )
            .await?;
        Ok(answer.value)
    }
}
